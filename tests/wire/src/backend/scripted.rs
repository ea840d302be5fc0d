//! The scripted backend, independent of its transport.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin_core::{Head, Method, ProgressToken, RequestId};
use rejoin_tests::kit::{
    BackendAction, Coverage, Fault, Faults, Rng, plan_initialize, plan_response, plan_unrelated,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::received::Received;
use crate::message::{Stamp, id_value, padding};
use crate::parameters::Parameters;

/// The destination of a backend's messages.
pub(crate) trait MessageSink: Clone + Send + Sync + 'static {
    /// Sends a message, and waits while it is held. Returns `false` if the session has ended.
    ///
    /// The message is sent on the first poll, before any wait.
    fn write(&self, text: String, related: Option<RequestId>) -> impl Future<Output = bool> + Send;

    /// Sends a message without waiting.
    fn write_now(&self, text: String, related: Option<RequestId>) -> bool;

    /// Disconnects the stream of a request. Returns whether that was possible.
    fn disconnect(&self, request: &RequestId, retry: Duration) -> bool;
}

/// State shared by all backends of a simulation.
#[derive(Clone, Debug)]
pub(crate) struct BackendContext {
    pub(crate) parameters: Arc<Parameters>,
    /// Whether the fault-free phase has begun.
    pub(crate) is_fault_free: Arc<AtomicBool>,
    /// Coverage of the backends.
    pub(crate) coverage: Arc<Mutex<Coverage>>,
}

impl BackendContext {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters: Arc::new(parameters),
            is_fault_free: Arc::default(),
            coverage: Arc::default(),
        }
    }
}

/// The backend of one session.
#[derive(Debug)]
pub(crate) struct ScriptedBackend<M> {
    script: Script<M>,
    tasks: JoinSet<()>,
    /// Whether it responds from within the handler where it can.
    is_handler: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Script<M> {
    pub(super) sink: M,
    context: BackendContext,
    state: Arc<Mutex<State>>,
    received: Arc<Mutex<Received>>,
    exited: Arc<Notify>,
    /// Notified when there is a new server request that may time out.
    new_server_request: Arc<Notify>,
    /// The rates of the phase with faults.
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    /// The client's name.
    session: String,
    /// Number of messages sent.
    serial: u64,
    /// Pending server requests.
    server_requests: BTreeSet<RequestId>,
    /// The deadlines of server requests, in order.
    deadlines: VecDeque<(Instant, RequestId)>,
    next_server_request: i64,
}

/// The kind of actor that a backend's generator belongs to.
const RNG_BACKEND: u64 = 15;
/// Maximum number of concurrent tasks; further requests are answered with errors.
const TASKS_MAX: usize = 1_000;
/// How many messages in a row differ in their length: far more than wait for room at a time.
const DISTINCT_LENGTHS: u64 = 64;
/// Maximum number of server requests with a deadline; further ones are never cancelled.
const DEADLINES_MAX: usize = 10_000;

impl<M: MessageSink> ScriptedBackend<M> {
    pub(crate) fn new(sink: M, context: BackendContext, nth: u64, is_handler: bool) -> Self {
        let parameters = &context.parameters.base;
        let state = State {
            rng: Rng::new(parameters.seed, RNG_BACKEND, nth),
            session: String::new(),
            serial: 0,
            server_requests: BTreeSet::new(),
            deadlines: VecDeque::new(),
            next_server_request: 0,
        };
        let mut faults = parameters.faults.clone();
        if is_handler {
            // A handler cannot exit.
            faults.remove(Fault::BackendExit);
        }
        let script = Script {
            sink,
            context,
            state: Arc::new(Mutex::new(state)),
            received: Arc::default(),
            exited: Arc::default(),
            new_server_request: Arc::default(),
            faults: Arc::new(faults),
        };
        Self { script, tasks: JoinSet::new(), is_handler }
    }

    /// Returns what is notified when the backend exits.
    pub(crate) fn exited(&self) -> Arc<Notify> {
        Arc::clone(&self.script.exited)
    }

    /// Returns the record of received messages, which goes on to grow.
    pub(crate) fn received(&self) -> Arc<Mutex<Received>> {
        Arc::clone(&self.script.received)
    }

    /// Handles a message of the client or of the session.
    pub(crate) fn receive(&mut self, text: &[u8]) -> Result<(), String> {
        while self.tasks.try_join_next().is_some() {}
        let head = self.script.received.lock().receive(text)?;
        match head {
            Head::Request { id, method, progress_token } => {
                let message = serde_json::from_slice(text).map_err(|error| error.to_string())?;
                self.start_task(id, method, progress_token, &message);
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                if self.script.state.lock().server_requests.remove(&id) {
                    self.script.hit("server requests: answered");
                }
            }
            Head::Notification(_) | Head::Error { id: None } => {}
        }
        Ok(())
    }

    fn start_task(
        &mut self,
        id: RequestId,
        method: Method,
        token: Option<ProgressToken>,
        message: &Value,
    ) {
        let text = |pointer| message.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let mut plan = VecDeque::new();
        if message.pointer("/params/arguments/calm") == Some(&json!(true)) {
            self.script.context.is_fault_free.store(true, Ordering::Relaxed);
        }
        let faults = self.script.faults();
        let ignores_backpressure = {
            let (mut state, mut coverage) =
                (self.script.state.lock(), self.script.context.coverage.lock());
            let state = &mut *state;
            let rng = &mut state.rng;
            if matches!(method, Method::Initialize { .. }) {
                self.tasks.spawn(self.script.clone().time_out_server_requests());
                plan_initialize(&mut plan, rng, &faults, &mut coverage);
                state.session = text("/params/clientInfo/name").unwrap_or_default();
            } else {
                plan_response(&mut plan, rng, &faults, &mut coverage);
            }
            state.rng.chance(faults.rate(Fault::IgnoresBackpressure))
        };
        let task = Task {
            id: Some(id),
            token,
            version: text("/params/protocolVersion"),
            ignores_backpressure,
        };
        if let Some(flood) = self.script.context.parameters.flood
            && task.version.is_none()
        {
            self.tasks.spawn(self.script.clone().flood(task, flood));
            return;
        }
        if self.tasks.len() >= TASKS_MAX {
            plan = VecDeque::from([(Duration::ZERO, BackendAction::ErrorResponse)]);
        } else if !(self.is_handler && is_immediate(&plan)) {
            self.tasks.spawn(self.script.clone().run_task(task, plan));
            return;
        }
        while let Some((_, action)) = plan.pop_front() {
            let Some((text, related)) = self.script.render(&task, action) else { continue };
            if !self.script.sink.write_now(text, related) {
                return;
            }
        }
    }
}

/// Returns whether a plan can be executed without waiting.
fn is_immediate(plan: &VecDeque<(Duration, BackendAction)>) -> bool {
    let is_without_delay = |(delay, action): &(Duration, BackendAction)| {
        *delay < Duration::from_millis(700)
            && !matches!(
                action,
                BackendAction::Exit | BackendAction::Initialized | BackendAction::Disconnect
            )
    };
    plan.iter().all(is_without_delay)
}

/// A task for one request, or for none.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: Option<RequestId>,
    token: Option<ProgressToken>,
    /// The revision that the client requested.
    version: Option<String>,
    /// Whether it does not wait while it is held.
    ignores_backpressure: bool,
}

impl<M: MessageSink> Script<M> {
    fn is_fault_free(&self) -> bool {
        self.context.is_fault_free.load(Ordering::Relaxed)
    }

    fn faults(&self) -> Arc<Faults> {
        if self.is_fault_free() { Arc::default() } else { Arc::clone(&self.faults) }
    }

    fn hit(&self, kind: &'static str) {
        self.context.coverage.lock().hit(kind);
    }

    fn hit_fault(&self, fault: Fault) {
        self.context.coverage.lock().hit_fault(fault);
    }

    /// Executes a plan, and after `initialize` sends unrelated messages until faults end.
    async fn run_task(self, task: Task, mut plan: VecDeque<(Duration, BackendAction)>) {
        let unrelated = Task {
            id: None,
            token: None,
            version: None,
            ignores_backpressure: task.ignores_backpressure,
        };
        let mut task = task;
        let sends_unrelated = plan.iter().any(|(_, action)| *action == BackendAction::Initialized);
        loop {
            while let Some((delay, action)) = plan.pop_front() {
                sleep(delay / self.context.parameters.speedup).await;
                if !self.perform(&task, action).await {
                    return;
                }
            }
            if !sends_unrelated || self.is_fault_free() {
                return;
            }
            task = unrelated.clone();
            let (mut state, mut coverage) = (self.state.lock(), self.context.coverage.lock());
            plan_unrelated(&mut plan, &mut state.rng, &self.faults(), &mut coverage);
            // Without a delay, this loop could starve other tasks.
            plan.push_front((Duration::from_millis(20), BackendAction::Notification));
        }
    }

    /// Executes an action. Returns whether to go on.
    pub(super) async fn perform(&self, task: &Task, action: BackendAction) -> bool {
        match (action, &task.id) {
            (BackendAction::Exit, _) => {
                self.hit_fault(Fault::BackendExit);
                self.received.lock().has_exited = true;
                self.exited.notify_one();
                return false;
            }
            (BackendAction::Disconnect, Some(id)) => {
                let retry = self.state.lock().rng.millis(0, 900) / self.context.parameters.speedup;
                if self.sink.disconnect(id, retry) {
                    self.hit_fault(Fault::Disconnect);
                }
                return true;
            }
            _ => {}
        }
        let message = self.render(task, action);
        let Some((text, related)) = message else { return true };
        if task.ignores_backpressure {
            self.hit_fault(Fault::IgnoresBackpressure);
            self.sink.write_now(text, related)
        } else {
            self.sink.write(text, related).await
        }
    }

    /// Cancels server requests at their deadlines, until the session ends.
    async fn time_out_server_requests(self) {
        loop {
            let next = self.state.lock().deadlines.pop_front();
            let Some((end, server_request)) = next else {
                self.new_server_request.notified().await;
                continue;
            };
            sleep_until(end).await;
            let text = {
                let mut state = self.state.lock();
                if !state.server_requests.remove(&server_request) {
                    continue;
                }
                let stamp = state.stamp();
                state.text(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": { "requestId": id_value(&server_request), "stamp": stamp } }))
            };
            self.hit("server requests: cancelled");
            if !self.sink.write(text, None).await {
                return;
            }
        }
    }

    /// Returns a notification with `bytes` of padding. It must be sent before any other message
    /// is stamped.
    pub(super) fn notification(&self, bytes: usize) -> String {
        let mut state = self.state.lock();
        let stamp = state.stamp();
        state.text(&notification(&stamp, &padding(bytes)))
    }

    /// Returns the message of an action, and the request that it belongs to. It must be sent
    /// before any other message is stamped.
    fn render(&self, task: &Task, action: BackendAction) -> Option<(String, Option<RequestId>)> {
        let mut state = self.state.lock();
        if matches!(action, BackendAction::Disconnect | BackendAction::Exit) {
            return None;
        }
        let stamp = state.stamp();
        let id = task.id.as_ref().map_or(Value::from(0), id_value);
        let rate = self.faults().rate(Fault::OversizedMessage);
        let max = self.context.parameters.base.config.message_bytes_max.min(20_000);
        let bytes = if state.rng.chance(rate) {
            self.hit_fault(Fault::OversizedMessage);
            max
        } else {
            state.rng.size(0, self.context.parameters.padding_max)
        };
        let pad = padding(bytes);
        let mut related = task.id.clone().filter(|_| state.rng.chance(850));
        let message = match action {
            BackendAction::Initialized => {
                let logging = state.rng.chance(500);
                let capabilities = if logging { json!({ "logging": {} }) } else { json!({}) };
                json!({ "jsonrpc": "2.0", "id": id, "result": {
                    "protocolVersion": task.version, "capabilities": capabilities,
                    "serverInfo": { "name": "wire", "version": "0" }, "stamp": stamp,
                } })
            }
            BackendAction::Response | BackendAction::DuplicateResponse => {
                if action == BackendAction::DuplicateResponse {
                    self.hit_fault(Fault::DuplicateResponse);
                }
                json!({ "jsonrpc": "2.0", "id": id, "result": { "stamp": stamp, "pad": pad } })
            }
            BackendAction::ErrorResponse => json!({ "jsonrpc": "2.0", "id": id, "error": {
                "code": 1, "message": "it failed", "data": { "stamp": stamp },
            } }),
            BackendAction::UnknownResponse => {
                self.hit_fault(Fault::UnknownResponse);
                json!({ "jsonrpc": "2.0", "id": -7, "error": {
                    "code": 1, "message": "whose?", "data": { "stamp": stamp },
                } })
            }
            BackendAction::Progress => match &task.token {
                Some(token) => {
                    related = None;
                    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {
                        "progressToken": token, "progress": state.serial, "stamp": stamp, "pad": pad,
                    } })
                }
                None => notification(&stamp, &pad),
            },
            BackendAction::Log => {
                json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {
                "level": "info", "logger": "wire", "data": { "stamp": stamp, "pad": pad },
            } })
            }
            BackendAction::Notification => notification(&stamp, &pad),
            BackendAction::ServerRequest => {
                state.next_server_request += 1;
                let server_request = state.next_server_request;
                state.server_requests.insert(server_request.into());
                if state.deadlines.len() < DEADLINES_MAX {
                    let end = Instant::now() + self.context.parameters.base.server_request_timeout;
                    state.deadlines.push_back((end, server_request.into()));
                    self.new_server_request.notify_one();
                }
                json!({ "jsonrpc": "2.0", "id": server_request, "method": "sampling/createMessage",
                    "params": { "stamp": stamp, "pad": pad } })
            }
            BackendAction::Disconnect | BackendAction::Exit => return None,
        };
        Some((state.text(&message), related))
    }
}

/// Returns the text of a message, with white space so that its length is congruent to `length`.
pub(super) fn text_like(length: u64, message: &Value) -> String {
    let text = message.to_string();
    let missing = length.wrapping_sub(text.len() as u64) % DISTINCT_LENGTHS;
    let (begin, rest) = text.split_at(1);
    format!("{begin}{:1$}{rest}", "", missing as usize)
}

/// Returns whether a message of `bytes` bytes may be the one with a serial number.
pub(crate) const fn has_length_of(serial: u64, bytes: usize) -> bool {
    (serial + 1) % DISTINCT_LENGTHS == bytes as u64 % DISTINCT_LENGTHS
}

impl State {
    /// Returns the stamp of the next message.
    fn stamp(&mut self) -> Value {
        let stamp = Stamp { session: self.session.clone(), serial: self.serial };
        self.serial += 1;
        stamp.value()
    }

    /// Returns the text of the message that has the last stamp, with white space so that its length
    /// differs from that of other recent messages. The checker knows only heads and sizes.
    fn text(&self, message: &Value) -> String {
        text_like(self.serial, message)
    }
}

fn notification(stamp: &Value, pad: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/wire", "params": { "stamp": stamp, "pad": pad } })
}
