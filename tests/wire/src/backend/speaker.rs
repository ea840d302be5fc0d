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
use tokio::time::sleep;

use crate::knobs::Knobs;
use crate::message::{Stamp, head_of, id_value, pad};

/// Where the messages of a backend go.
pub(crate) trait Mouth: Clone + Send + Sync + 'static {
    /// Says something, and waits where a reader trails. Returns whether anybody is there.
    ///
    /// It is said as soon as this is polled, before it waits.
    fn say(&self, text: String, related: Option<RequestId>) -> impl Future<Output = bool> + Send;

    /// Says something, and does not wait.
    fn say_now(&self, text: String, related: Option<RequestId>) -> bool;

    /// Has the connection of a request closed.
    fn close_stream(&self, request: &RequestId, retry: Duration);
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
struct Voice<M> {
    mouth: M,
    knobs: Arc<Knobs>,
    state: Arc<Mutex<State>>,
    died: Arc<Notify>,
    /// Whether nothing goes wrong any more.
    is_calm: Arc<AtomicBool>,
}

#[derive(Debug)]
struct State {
    luck: Chance,
    /// What went wrong with what it says.
    tally: Tally,
    /// What the client calls itself.
    visit: String,
    /// How many messages it has said.
    serial: u64,
    /// What it asked the client, and waits for.
    asked: BTreeSet<RequestId>,
    next_question: i64,
    /// What it heard.
    heard: Vec<Heard>,
}

/// What a backend heard: the head of a message, and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) head: Head,
    pub(crate) bytes: usize,
}

/// Which luck backends have.
const LUCK: u64 = 15;
/// How many requests work goes on at, at most; more are answered with errors.
const WORK_MAX: usize = 1_000;

impl<M: Mouth> Speaker<M> {
    pub(crate) fn new(
        mouth: M,
        knobs: Arc<Knobs>,
        nth: u64,
        is_quick: bool,
        is_calm: Arc<AtomicBool>,
    ) -> Self {
        let state = State {
            luck: Chance::new(knobs.world.seed, LUCK, nth),
            tally: Tally::default(),
            visit: String::new(),
            serial: 0,
            asked: BTreeSet::new(),
            next_question: 0,
            heard: Vec::new(),
        };
        let voice = Voice {
            mouth,
            knobs,
            state: Arc::new(Mutex::new(state)),
            died: Arc::default(),
            is_calm,
        };
        Self { voice, work: JoinSet::new(), is_quick }
    }

    /// Returns what is ready when the backend dies.
    pub(crate) fn died(&self) -> Arc<Notify> {
        Arc::clone(&self.voice.died)
    }

    /// Returns a way to ask what it heard.
    pub(crate) fn heard(&self) -> impl Fn() -> Vec<Heard> + Send + use<M> {
        let state = Arc::clone(&self.voice.state);
        move || state.lock().heard.clone()
    }

    /// Hears a message of the client, or of the session.
    pub(crate) fn hear(&mut self, text: &[u8]) -> Result<(), String> {
        while self.work.try_join_next().is_some() {}
        let head = head_of(text)?;
        self.voice.state.lock().heard.push(Heard { head: head.clone(), bytes: text.len() });
        match head {
            Head::Request { id, method, progress_token } => {
                let message = serde_json::from_slice(text).map_err(|error| error.to_string())?;
                self.begin(id, method, progress_token, &message);
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.voice.state.lock().asked.remove(&id);
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
        let is_impolite = {
            let mut state = self.voice.state.lock();
            if message.pointer("/params/arguments/calm") == Some(&json!(true)) {
                self.voice.is_calm.store(true, Ordering::Relaxed);
            }
            let faults = self.voice.faults();
            let state = &mut *state;
            let luck = &mut state.luck;
            if matches!(method, Method::Initialize { .. }) {
                if !luck.strikes(faults.rate(Fault::Never)) {
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
                plan_answer(&mut plan, luck, &faults, &mut state.tally);
            }
            state.luck.strikes(faults.rate(Fault::Impolite))
        };
        let task =
            Task { id: Some(id), token, version: text("/params/protocolVersion"), is_impolite };
        if self.is_quick && is_at_once(&plan) {
            while let Some((_, what)) = plan.pop_front() {
                let Some((text, related)) = self.voice.phrase(&task, what) else { continue };
                if !self.voice.mouth.say_now(text, related) {
                    return;
                }
            }
        } else if self.work.len() < WORK_MAX {
            self.work.spawn(self.voice.clone().speak(task, plan));
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
struct Task {
    id: Option<RequestId>,
    token: Option<ProgressToken>,
    /// The revision that the client asks for.
    version: Option<String>,
    /// Whether it does not wait for readers.
    is_impolite: bool,
}

impl<M: Mouth> Voice<M> {
    fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    fn faults(&self) -> Faults {
        if self.is_calm() { Faults::default() } else { self.knobs.world.faults.clone() }
    }

    /// Says what is planned; and then, after `initialize`, whatever comes to its mind.
    async fn speak(self, task: Task, mut plan: VecDeque<(Duration, Utterance)>) {
        let idle = Task { id: None, token: None, version: None, is_impolite: task.is_impolite };
        let mut task = task;
        let talks = plan.iter().any(|(_, what)| *what == Utterance::Initialized);
        loop {
            while let Some((delay, what)) = plan.pop_front() {
                sleep(delay / self.knobs.hurry).await;
                if !self.utter(&task, what).await {
                    return;
                }
            }
            if !talks || self.is_calm() {
                return;
            }
            task = idle.clone();
            let state = &mut *self.state.lock();
            plan_talk(&mut plan, &mut state.luck, &self.faults(), &mut state.tally);
            // Nothing else would let anybody else speak.
            plan.push_front((Duration::from_millis(20), Utterance::Note));
        }
    }

    /// Says something. Returns whether to go on.
    async fn utter(&self, task: &Task, what: Utterance) -> bool {
        match (what, &task.id) {
            (Utterance::Die, _) => {
                self.died.notify_one();
                return false;
            }
            (Utterance::Poll, Some(id)) => {
                let retry = self.state.lock().luck.millis(0, 900) / self.knobs.hurry;
                self.mouth.close_stream(id, retry);
                return true;
            }
            _ => {}
        }
        let said = self.phrase(task, what);
        let Some((text, related)) = said else { return true };
        if task.is_impolite {
            self.mouth.say_now(text, related)
        } else {
            self.mouth.say(text, related).await
        }
    }

    /// Returns the words for something, and which request they belong to. Whoever has
    /// them says them before anything else is said.
    fn phrase(&self, task: &Task, what: Utterance) -> Option<(String, Option<RequestId>)> {
        let mut state = self.state.lock();
        let stamp = Stamp { visit: state.visit.clone(), serial: state.serial }.value();
        let id = task.id.as_ref().map_or(Value::from(0), id_value);
        let huge = self.faults().rate(Fault::Huge);
        let max = self.knobs.world.config.message_bytes_max.min(20_000);
        let bytes = if state.luck.strikes(huge) { max } else { state.luck.size(0, 200) };
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
                json!({ "jsonrpc": "2.0", "id": id, "result": { "stamp": stamp, "pad": pad } })
            }
            Utterance::Failure => json!({ "jsonrpc": "2.0", "id": id, "error": {
                "code": 1, "message": "it failed", "data": { "stamp": stamp },
            } }),
            Utterance::Stray => json!({ "jsonrpc": "2.0", "id": -7, "error": {
                "code": 1, "message": "whose?", "data": { "stamp": stamp },
            } }),
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
                json!({ "jsonrpc": "2.0", "id": question, "method": "sampling/createMessage",
                    "params": { "stamp": stamp, "pad": pad } })
            }
            Utterance::Poll | Utterance::Die => return None,
        };
        state.serial += 1;
        Some((message.to_string(), related))
    }
}

fn note(stamp: &Value, pad: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/wire", "params": { "stamp": stamp, "pad": pad } })
}
