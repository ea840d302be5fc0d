//! One session as its client sees it, with the checks of every event.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rejoin_core::{EventId, StreamId};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::judge::{Judge, Violation};
use super::stamp::Stamp;
use crate::message::failure_of;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    judge: Arc<Judge>,
    /// The name that the client has given it.
    pub(super) name: String,
    /// Its id.
    pub(super) id: String,
    pub(super) version: &'static str,
    pub(super) began: Instant,
    is_over: watch::Sender<bool>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Hashes of the events, by id.
    contents: BTreeMap<EventId, u64>,
    /// The call of each request stream.
    streams: BTreeMap<u64, String>,
    standalone: Vec<Instance>,
}

/// What has come on the standalone stream from one of its servers.
#[derive(Debug)]
struct Instance {
    name: String,
    received: u64,
    /// The last message that must come.
    announced: u64,
}

/// A client's position on a stream.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// The call; empty on the standalone stream.
    pub(super) call: String,
    pub(super) last: Option<EventId>,
    /// The ids of the messages that were received.
    pub(super) received: Vec<EventId>,
    /// Whether messages may have been sent on a connection without an event id, after which nobody can
    /// resume.
    pub(super) has_missed: bool,
    /// The serial number of the last message of the call.
    serial: u64,
    instance: Option<String>,
}

/// What a message means to its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing else.
    Progress,
    /// A server request, with its id.
    Question(Value),
    /// The result of the call.
    Result,
    /// The call has failed.
    Failure(String),
    /// The stream has ended before its first event, and says so.
    LostResponse,
}

/// What a node says if it has no event of a response.
const LOST_RESPONSE: &str = "the response was lost";

impl Reader {
    pub(super) fn new(call: &str) -> Self {
        let (call, received) = (call.to_owned(), Vec::new());
        Self { call, last: None, received, has_missed: false, serial: 0, instance: None }
    }

    fn is_standalone(&self) -> bool {
        self.call.is_empty()
    }
}

impl Session {
    pub(super) fn new(
        judge: &Arc<Judge>,
        name: String,
        id: String,
        version: &'static str,
        began: Instant,
    ) -> Self {
        let judge = Arc::clone(judge);
        Self {
            judge,
            name,
            id,
            version,
            began,
            is_over: watch::Sender::new(false),
            seen: Mutex::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    pub(super) fn end(&self) {
        self.is_over.send_replace(true);
    }

    /// Waits until the session is over.
    pub(super) async fn ended(&self) {
        // It is there as long as this is borrowed.
        let _ = self.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }

    pub(super) fn report(&self, violation: Violation, reader: &Reader, what: &str) {
        let Self { name, id, .. } = self;
        let short = id.get(..8).unwrap_or(id);
        let call = if reader.is_standalone() { "standalone" } else { &reader.call };
        let last = reader.last.map_or("none".to_owned(), |last| last.to_string());
        self.judge.report(
            violation,
            &format_args!(
                "{what}; {call} of session {name} ({short}…, {:.1} s old), last event id {last}",
                self.began.elapsed().as_secs_f32()
            ),
        );
    }

    /// Checks an event id that comes after the last one. Remembers it as the last one.
    pub(super) fn on_id(&self, reader: &mut Reader, id: EventId, is_message: bool) {
        let is_on_own = match id.stream {
            StreamId::Standalone => reader.is_standalone(),
            StreamId::Request(number) => {
                let mut seen = self.seen.lock();
                let call = seen.streams.entry(number).or_insert_with(|| reader.call.clone());
                !reader.is_standalone() && *call == reader.call
            }
        };
        if !is_on_own {
            self.report(Violation::WrongStream, reader, &format!("event {id}"));
        }
        let is_after = reader.last.is_none_or(|last| {
            last.stream == id.stream && last.index < id.index + u64::from(!is_message)
        });
        if !is_after {
            self.report(Violation::Duplicate, reader, &format!("event {id} is not after the last"));
        }
        reader.last = Some(id);
    }

    /// Checks that an id has one content.
    pub(super) fn check_content(&self, reader: &Reader, id: EventId, data: &Bytes) {
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let hash = hasher.finish();
        let known = *self.seen.lock().contents.entry(id).or_insert(hash);
        // What a retained response is replaced by has its id.
        let is_replaced = data.windows(8).any(|part| part == b"\"error\":");
        if known != hash && !is_replaced {
            let text = String::from_utf8_lossy(data);
            self.report(Violation::TwoContents, reader, &format!("event {id} is now {text}"));
        }
    }

    /// Checks a message on a stream, after its id.
    pub(super) fn on_message(&self, reader: &mut Reader, message: &Value) -> Meaning {
        self.judge.hit("events");
        if let Some(error) = message.get("error") {
            let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
            if text.starts_with(LOST_RESPONSE) {
                return Meaning::LostResponse;
            }
            if failure_of(message).is_none() {
                self.report(Violation::Unexpected, reader, &format!("error {error}"));
            }
            return Meaning::Failure(error.to_string());
        }
        let Some(stamp) = Stamp::of(message) else {
            let is_own = message.pointer("/params/logger").is_some_and(|logger| logger == "rejoin");
            let is_list_change = message
                .pointer("/method")
                .and_then(Value::as_str)
                .is_some_and(|it| it.ends_with("/list_changed"));
            if is_own || is_list_change {
                self.judge.hit("events: of a new server");
            } else {
                self.report(Violation::Unexpected, reader, &format!("message {message}"));
            }
            return Meaning::Progress;
        };
        if stamp.session != self.name || stamp.call != reader.call {
            self.report(Violation::WrongStream, reader, &format!("{stamp:?}"));
            return Meaning::Progress;
        }
        if reader.is_standalone() {
            self.on_announced(reader, &stamp);
            return Meaning::Progress;
        }
        let instance = reader.instance.get_or_insert_with(|| stamp.instance.clone());
        if *instance != stamp.instance {
            self.report(Violation::Duplicate, reader, &format!("{stamp:?} is of another server"));
        }
        self.check_serial(reader, reader.serial, &stamp);
        reader.serial = stamp.serial;
        if let Some(result) = message.get("result") {
            let announced = result.get("announced").and_then(Value::as_u64).unwrap_or_default();
            self.expect_announced(&stamp.instance, announced);
            return Meaning::Result;
        }
        let is_question =
            message.get("method").is_some_and(|method| method == "elicitation/create");
        match message.get("id") {
            Some(id) if is_question => Meaning::Question(id.clone()),
            Some(_) | None => Meaning::Progress,
        }
    }

    fn check_serial(&self, reader: &Reader, last: u64, stamp: &Stamp) {
        let what = format!("serial {} after {last} of {}", stamp.serial, stamp.instance);
        if stamp.serial <= last {
            self.report(Violation::Duplicate, reader, &what);
        } else if stamp.serial > last + 1 {
            self.report(Violation::Loss, reader, &what);
        }
    }

    /// Checks a message on the standalone stream: servers follow each other.
    fn on_announced(&self, reader: &Reader, stamp: &Stamp) {
        let mut seen = self.seen.lock();
        let at = seen.standalone.iter().position(|it| it.name == stamp.instance);
        let newest = seen.standalone.iter().rposition(|it| it.received > 0);
        let at = at.unwrap_or_else(|| {
            let name = stamp.instance.clone();
            seen.standalone.push(Instance { name, received: 0, announced: 0 });
            seen.standalone.len() - 1
        });
        let Some(instance) = seen.standalone.get_mut(at) else { return };
        let last = instance.received;
        instance.received = last.max(stamp.serial);
        drop(seen);
        if last > 0 || !reader.has_missed {
            self.check_serial(reader, last, stamp);
        }
        if newest.is_some_and(|newest| newest > at) {
            self.report(
                Violation::Duplicate,
                reader,
                &format!("{stamp:?} is of an earlier server"),
            );
        }
    }

    fn expect_announced(&self, instance: &str, announced: u64) {
        let mut seen = self.seen.lock();
        if let Some(known) = seen.standalone.iter_mut().find(|it| it.name == instance) {
            known.announced = known.announced.max(announced);
        } else {
            let name = instance.to_owned();
            seen.standalone.push(Instance { name, received: 0, announced });
        }
    }

    /// Returns what is missing on the standalone stream, if anything.
    pub(super) fn missing(&self) -> Option<String> {
        let seen = self.seen.lock();
        let missing = seen.standalone.iter().find(|it| it.received < it.announced)?;
        let Instance { name, received, announced } = missing;
        Some(format!("{received} of {announced} messages of {name} have come"))
    }
}
