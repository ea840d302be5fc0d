//! Speakers: what any backend does, wherever its messages go.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin_core::{Head, Method, ProgressToken, RequestId};
use rejoin_tests::world::{Chance, Fault, Faults, Tally, Utterance, plan_answer, plan_talk};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::heard::Hearing;
use crate::knobs::Knobs;
use crate::message::{Stamp, id_value, pad};

/// Where the messages of a backend go.
pub(crate) trait Mouth: Clone + Send + Sync + 'static {
    /// Says something, and waits where a reader trails. Returns whether anybody is there.
    ///
    /// It is said as soon as this is polled, before it waits.
    fn say(&self, text: String, related: Option<RequestId>) -> impl Future<Output = bool> + Send;

    /// Says something, and does not wait.
    fn say_now(&self, text: String, related: Option<RequestId>) -> bool;

    /// Has the connection of a request closed. Returns whether that may be.
    fn close_stream(&self, request: &RequestId, retry: Duration) -> bool;
}

/// What all backends of a world share.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) knobs: Arc<Knobs>,
    /// Whether nothing goes wrong any more.
    pub(crate) is_calm: Arc<AtomicBool>,
    /// What went wrong with what they say.
    pub(crate) tally: Arc<Mutex<Tally>>,
}

impl Scene {
    pub(crate) fn new(knobs: Knobs) -> Self {
        Self { knobs: Arc::new(knobs), is_calm: Arc::default(), tally: Arc::default() }
    }
}

/// What speaks for one session.
#[derive(Debug)]
pub(crate) struct Speaker<M> {
    voice: Voice<M>,
    work: JoinSet<()>,
    /// Whether it answers at once where it can.
    is_quick: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Voice<M> {
    pub(super) mouth: M,
    scene: Scene,
    state: Arc<Mutex<State>>,
    hearing: Arc<Mutex<Hearing>>,
    died: Arc<Notify>,
    /// Ready when there is one more question that may be taken back.
    asked: Arc<Notify>,
    /// What may go wrong.
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct State {
    luck: Chance,
    /// What the client calls itself.
    visit: String,
    /// How many messages it has said.
    serial: u64,
    /// What it asked the client, and waits for.
    asked: BTreeSet<RequestId>,
    /// Until when it waits for each, in order.
    patience: VecDeque<(Instant, RequestId)>,
    next_question: i64,
}

/// Which luck backends have.
const LUCK: u64 = 15;
/// How many requests work goes on at, at most; more are answered with errors.
const WORK_MAX: usize = 1_000;
/// How many questions may be taken back, at most; more are asked without an end.
const PATIENCE_MAX: usize = 10_000;

impl<M: Mouth> Speaker<M> {
    pub(crate) fn new(mouth: M, scene: Scene, nth: u64, is_quick: bool) -> Self {
        let knobs = &scene.knobs.world;
        let state = State {
            luck: Chance::new(knobs.seed, LUCK, nth),
            visit: String::new(),
            serial: 0,
            asked: BTreeSet::new(),
            patience: VecDeque::new(),
            next_question: 0,
        };
        let mut faults = knobs.faults.clone();
        if is_quick {
            // It has no life of its own that could end.
            faults.remove(Fault::Dies);
        }
        let voice = Voice {
            mouth,
            scene,
            state: Arc::new(Mutex::new(state)),
            hearing: Arc::default(),
            died: Arc::default(),
            asked: Arc::default(),
            faults: Arc::new(faults),
        };
        Self { voice, work: JoinSet::new(), is_quick }
    }

    /// Returns what is ready when the backend dies.
    pub(crate) fn died(&self) -> Arc<Notify> {
        Arc::clone(&self.voice.died)
    }

    /// Returns what it hears, now and later.
    pub(crate) fn hearing(&self) -> Arc<Mutex<Hearing>> {
        Arc::clone(&self.voice.hearing)
    }

    /// Hears a message of the client, or of the session.
    pub(crate) fn hear(&mut self, text: &[u8]) -> Result<(), String> {
        while self.work.try_join_next().is_some() {}
        let head = self.voice.hearing.lock().hear(text)?;
        match head {
            Head::Request { id, method, progress_token } => {
                let message = serde_json::from_slice(text).map_err(|error| error.to_string())?;
                self.begin(id, method, progress_token, &message);
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                if self.voice.state.lock().asked.remove(&id) {
                    self.voice.count("questions: answered");
                }
            }
            Head::Notification(_) | Head::Error { id: None } => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        id: RequestId,
        method: Method,
        token: Option<ProgressToken>,
        message: &Value,
    ) {
        let text = |place| message.pointer(place).and_then(Value::as_str).map(str::to_owned);
        let mut plan = VecDeque::new();
        if message.pointer("/params/arguments/calm") == Some(&json!(true)) {
            self.voice.scene.is_calm.store(true, Ordering::Relaxed);
        }
        let faults = self.voice.faults();
        let is_impolite = {
            let (mut state, mut tally) = (self.voice.state.lock(), self.voice.scene.tally.lock());
            let state = &mut *state;
            let luck = &mut state.luck;
            if matches!(method, Method::Initialize { .. }) {
                self.work.spawn(self.voice.clone().take_back());
                if luck.strikes(faults.rate(Fault::Never)) {
                    tally.struck(Fault::Never);
                } else {
                    let dies = luck.strikes(faults.rate(Fault::Dies));
                    let fails = luck.strikes(faults.rate(Fault::Unknown));
                    let what = match (dies, fails) {
                        (true, _) => Utterance::Die,
                        (_, true) => Utterance::Failure,
                        (false, false) => Utterance::Initialized,
                    };
                    plan.push_back((luck.millis(0, 300), what));
                }
                state.visit = text("/params/clientInfo/name").unwrap_or_default();
            } else {
                plan_answer(&mut plan, luck, &faults, &mut tally);
            }
            state.luck.strikes(faults.rate(Fault::Impolite))
        };
        let task =
            Task { id: Some(id), token, version: text("/params/protocolVersion"), is_impolite };
        if let Some(flood) = self.voice.scene.knobs.flood
            && task.version.is_none()
        {
            self.work.spawn(self.voice.clone().flood(task, flood));
            return;
        }
        if self.work.len() >= WORK_MAX {
            plan = VecDeque::from([(Duration::ZERO, Utterance::Failure)]);
        } else if !(self.is_quick && is_at_once(&plan)) {
            self.work.spawn(self.voice.clone().speak(task, plan));
            return;
        }
        while let Some((_, what)) = plan.pop_front() {
            let Some((text, related)) = self.voice.phrase(&task, what) else { continue };
            if !self.voice.mouth.say_now(text, related) {
                return;
            }
        }
    }
}

/// Returns whether all of a plan can be said without waiting for anything.
fn is_at_once(plan: &VecDeque<(Duration, Utterance)>) -> bool {
    let is_quick = |(delay, what): &(Duration, Utterance)| {
        *delay < Duration::from_millis(700)
            && !matches!(what, Utterance::Die | Utterance::Initialized | Utterance::Poll)
    };
    plan.iter().all(is_quick)
}

/// A request that is worked on, or none.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: Option<RequestId>,
    token: Option<ProgressToken>,
    /// The revision that the client asks for.
    version: Option<String>,
    /// Whether it does not wait for readers.
    is_impolite: bool,
}

impl<M: Mouth> Voice<M> {
    fn is_calm(&self) -> bool {
        self.scene.is_calm.load(Ordering::Relaxed)
    }

    fn faults(&self) -> Arc<Faults> {
        if self.is_calm() { Arc::default() } else { Arc::clone(&self.faults) }
    }

    fn count(&self, kind: &'static str) {
        self.scene.tally.lock().add(kind);
    }

    fn struck(&self, fault: Fault) {
        self.scene.tally.lock().struck(fault);
    }

    /// Says what is planned; and then, after `initialize`, whatever comes to its mind.
    async fn speak(self, task: Task, mut plan: VecDeque<(Duration, Utterance)>) {
        let idle = Task { id: None, token: None, version: None, is_impolite: task.is_impolite };
        let mut task = task;
        let talks = plan.iter().any(|(_, what)| *what == Utterance::Initialized);
        loop {
            while let Some((delay, what)) = plan.pop_front() {
                sleep(delay / self.scene.knobs.hurry).await;
                if !self.utter(&task, what).await {
                    return;
                }
            }
            if !talks || self.is_calm() {
                return;
            }
            task = idle.clone();
            let (mut state, mut tally) = (self.state.lock(), self.scene.tally.lock());
            plan_talk(&mut plan, &mut state.luck, &self.faults(), &mut tally);
            // Nothing else would let anybody else speak.
            plan.push_front((Duration::from_millis(20), Utterance::Note));
        }
    }

    /// Says something. Returns whether to go on.
    pub(super) async fn utter(&self, task: &Task, what: Utterance) -> bool {
        match (what, &task.id) {
            (Utterance::Die, _) => {
                self.struck(Fault::Dies);
                self.hearing.lock().is_dead = true;
                self.died.notify_one();
                return false;
            }
            (Utterance::Poll, Some(id)) => {
                let retry = self.state.lock().luck.millis(0, 900) / self.scene.knobs.hurry;
                if self.mouth.close_stream(id, retry) {
                    self.struck(Fault::Polling);
                }
                return true;
            }
            _ => {}
        }
        let said = self.phrase(task, what);
        let Some((text, related)) = said else { return true };
        if task.is_impolite {
            self.struck(Fault::Impolite);
            self.mouth.say_now(text, related)
        } else {
            self.mouth.say(text, related).await
        }
    }

    /// Takes back what nobody has answered in time, as long as there is somebody.
    async fn take_back(self) {
        loop {
            let next = self.state.lock().patience.pop_front();
            let Some((end, question)) = next else {
                self.asked.notified().await;
                continue;
            };
            sleep_until(end).await;
            let text = {
                let mut state = self.state.lock();
                if !state.asked.remove(&question) {
                    continue;
                }
                let stamp = state.stamp();
                json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {
                    "requestId": id_value(&question), "stamp": stamp,
                } })
            };
            self.count("questions: withdrawn");
            if !self.mouth.say(text.to_string(), None).await {
                return;
            }
        }
    }

    /// Returns a message of so many bytes, and some more. Whoever has it says it before anything
    /// else is said.
    pub(super) fn note(&self, bytes: usize) -> String {
        note(&self.state.lock().stamp(), &pad(bytes)).to_string()
    }

    /// Returns the words for something, and which request they belong to. Whoever has
    /// them says them before anything else is said.
    fn phrase(&self, task: &Task, what: Utterance) -> Option<(String, Option<RequestId>)> {
        let mut state = self.state.lock();
        if matches!(what, Utterance::Poll | Utterance::Die) {
            return None;
        }
        let stamp = state.stamp();
        let id = task.id.as_ref().map_or(Value::from(0), id_value);
        let huge = self.faults().rate(Fault::Huge);
        let max = self.scene.knobs.world.config.message_bytes_max.min(20_000);
        let bytes = if state.luck.strikes(huge) {
            self.struck(Fault::Huge);
            max
        } else {
            state.luck.size(0, 200)
        };
        let pad = pad(bytes);
        let mut related = task.id.clone().filter(|_| state.luck.strikes(850));
        let message = match what {
            Utterance::Initialized => {
                let logging = state.luck.strikes(500);
                let capabilities = if logging { json!({ "logging": {} }) } else { json!({}) };
                json!({ "jsonrpc": "2.0", "id": id, "result": {
                    "protocolVersion": task.version, "capabilities": capabilities,
                    "serverInfo": { "name": "wire", "version": "0" }, "stamp": stamp,
                } })
            }
            Utterance::Answer | Utterance::Again => {
                if what == Utterance::Again {
                    self.struck(Fault::Twice);
                }
                json!({ "jsonrpc": "2.0", "id": id, "result": { "stamp": stamp, "pad": pad } })
            }
            Utterance::Failure => json!({ "jsonrpc": "2.0", "id": id, "error": {
                "code": 1, "message": "it failed", "data": { "stamp": stamp },
            } }),
            Utterance::Stray => {
                self.struck(Fault::Unknown);
                json!({ "jsonrpc": "2.0", "id": -7, "error": {
                    "code": 1, "message": "whose?", "data": { "stamp": stamp },
                } })
            }
            Utterance::Progress => match &task.token {
                Some(token) => {
                    related = None;
                    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {
                        "progressToken": token, "progress": state.serial, "stamp": stamp, "pad": pad,
                    } })
                }
                None => note(&stamp, &pad),
            },
            Utterance::Log => {
                json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {
                "level": "info", "logger": "wire", "data": { "stamp": stamp, "pad": pad },
            } })
            }
            Utterance::Note => note(&stamp, &pad),
            Utterance::Question => {
                state.next_question += 1;
                let question = state.next_question;
                state.asked.insert(question.into());
                if state.patience.len() < PATIENCE_MAX {
                    let end = Instant::now() + self.scene.knobs.world.backend_patience;
                    state.patience.push_back((end, question.into()));
                    self.asked.notify_one();
                }
                json!({ "jsonrpc": "2.0", "id": question, "method": "sampling/createMessage",
                    "params": { "stamp": stamp, "pad": pad } })
            }
            Utterance::Poll | Utterance::Die => return None,
        };
        Some((message.to_string(), related))
    }
}

impl State {
    /// Returns the stamp of the next thing that is said.
    fn stamp(&mut self) -> Value {
        let stamp = Stamp { visit: self.visit.clone(), serial: self.serial };
        self.serial += 1;
        stamp.value()
    }
}

fn note(stamp: &Value, pad: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/wire", "params": { "stamp": stamp, "pad": pad } })
}
