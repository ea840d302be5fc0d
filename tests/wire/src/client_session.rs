//! Client sessions: what a client sent and received in one session.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rejoin_core::{EventId, RequestId};
use rejoin_tests::kit::checker::Outcome;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

/// A client's view of one session.
#[derive(Debug)]
pub(crate) struct ClientSession {
    /// The name that the client gives to the backend.
    pub(crate) name: String,
    /// The session id.
    pub(crate) id: String,
    /// The negotiated revision.
    pub(crate) version: String,
    /// When the client sent `initialize`.
    pub(crate) started_at: Instant,
    /// Whether the session has ended, as far as the client knows.
    is_over: watch::Sender<bool>,
    pub(crate) record: Mutex<Record>,
}

/// The record of what a client sent and received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) readers: Vec<StreamReader>,
    pub(crate) requests: Vec<ClientRequest>,
    /// Number of POSTs sent, and of those known to be accepted.
    pub(crate) posts_sent: u64,
    pub(crate) posts_accepted: u64,
    /// Each transmission of a message without a request, by its number.
    pub(crate) sent: Vec<SentMessage>,
    /// A logical clock: the number of messages sent, or accepted.
    clock: usize,
    /// Number of open competing GETs, which may receive events of the standalone stream.
    competing_gets: usize,
    /// Number of competing GETs that were ever opened.
    competing_gets_total: u64,
    /// The last lines of the trace, shown on failure.
    trace: VecDeque<String>,
}

/// One transmission of a message without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentMessage {
    /// When it was sent, and when the client learned that it was accepted, by the logical
    /// clock.
    pub(crate) sent_at: usize,
    pub(crate) accepted_at: Option<usize>,
    /// Whether it is forwarded to every backend in any state.
    pub(crate) is_always_forwarded: bool,
}

/// A client's reader of one stream, over all connections on which it resumes it.
#[derive(Clone, Debug)]
pub(crate) struct StreamReader {
    pub(crate) kind: ReaderKind,
    pub(crate) observations: Vec<Observation>,
    /// The event id to resume after.
    pub(crate) last_event_id: Option<EventId>,
}

/// What a client reads a stream for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReaderKind {
    /// Responses to these requests.
    Requests(Vec<RequestId>),
    /// The standalone stream.
    Standalone,
    /// Nothing: a spurious GET, after an event id or without one.
    Spurious(Option<EventId>),
    /// Nothing: a duplicate of this request.
    DuplicateRequest(RequestId),
}

/// What a client observed.
#[derive(Clone, Debug)]
pub(crate) enum Observation {
    Gap(RangeInclusive<u64>),
    Priming {
        id: EventId,
        retry: Option<Duration>,
    },
    Message {
        id: Option<EventId>,
        data: Bytes,
        at: Instant,
    },
    /// It is connected; if `is_fault_free`, no fault delays what it receives.
    Connected {
        at: Instant,
        is_fault_free: bool,
    },
    /// It stopped reading that connection.
    Disconnected {
        at: Instant,
    },
    /// It resumed after the last event that it received.
    Resumed,
    /// A competing GET may receive the next events.
    Relaxed,
}

/// A request of a client.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(crate) struct ClientRequest {
    pub(crate) id: RequestId,
    pub(crate) reader: usize,
    pub(crate) sent_at: Instant,
    /// Whether it was made in the fault-free phase, so that it must be answered.
    pub(crate) must_be_answered: bool,
    /// Whether the server is known to have accepted it.
    pub(crate) is_accepted: bool,
    /// Whether the client has cancelled it.
    pub(crate) is_cancelled: bool,
    /// Whether it was sent a second time.
    pub(crate) is_duplicated: bool,
    pub(crate) outcome: Option<(Outcome, Instant)>,
    /// Whether it was refused because of a limit, and made again.
    pub(crate) is_refused: bool,
}

/// Records the end of a connection when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionGuard<'a> {
    session: &'a ClientSession,
    reader: usize,
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        self.session.observe(self.reader, Observation::Disconnected { at: Instant::now() });
    }
}

/// Maximum number of lines in the trace.
const TRACE_MAX: usize = 60;

impl ClientSession {
    pub(crate) fn new(
        name: String,
        session: String,
        version: String,
        started_at: Instant,
    ) -> Arc<Self> {
        let (is_over, _) = watch::channel(false);
        let record = Mutex::default();
        Arc::new(Self { name, id: session, version, started_at, is_over, record })
    }

    /// Ends a session that the server does not know any more.
    pub(crate) fn end(&self) {
        self.is_over.send_replace(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    /// Waits until the session has ended.
    pub(crate) async fn ended(&self) {
        // The sender is owned by `self`, so this cannot fail.
        let _ = self.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// Adds a line to the trace.
    pub(crate) fn trace(&self, line: String) {
        let mut record = self.record.lock();
        if record.trace.len() >= TRACE_MAX {
            record.trace.pop_front();
        }
        record.trace.push_back(line);
    }

    /// Returns the last lines of the trace.
    pub(crate) fn recent_trace(&self) -> Vec<String> {
        self.record.lock().trace.iter().cloned().collect()
    }

    /// Gives a message, as it is sent, a number of its own.
    pub(crate) fn number(&self, message: &Value) -> (usize, Value) {
        let method = message.get("method").and_then(Value::as_str);
        let is_always_forwarded = method.is_some_and(|method| method != "notifications/cancelled");
        let mut record = self.record.lock();
        let (nth, sent) = (record.sent.len(), record.clock);
        record.sent.push(SentMessage { sent_at: sent, accepted_at: None, is_always_forwarded });
        record.clock += 1;
        drop(record);
        let mut message = message.clone();
        let part = if method.is_some() { "params" } else { "result" };
        if let Some(message) = message.as_object_mut() {
            let part = message.entry(part).or_insert_with(|| json!({}));
            part.as_object_mut().map(|part| part.insert("sent".to_owned(), nth.into()));
        }
        (nth, message)
    }

    /// Records that a message was accepted.
    pub(crate) fn on_accepted(&self, nth: usize) {
        let mut record = self.record.lock();
        record.clock += 1;
        let accepted = Some(record.clock);
        if let Some(sent) = record.sent.get_mut(nth) {
            sent.accepted_at = accepted;
        }
    }

    /// Adds a reader, and returns its index.
    pub(crate) fn add_reader(&self, kind: ReaderKind) -> usize {
        let mut record = self.record.lock();
        record.readers.push(StreamReader { kind, observations: Vec::new(), last_event_id: None });
        record.readers.len() - 1
    }

    /// Records a connection of a reader, until the guard is dropped.
    pub(crate) fn connect(&self, reader: usize, is_fault_free: bool) -> ConnectionGuard<'_> {
        self.observe(reader, Observation::Connected { at: Instant::now(), is_fault_free });
        ConnectionGuard { session: self, reader }
    }

    /// Records an observation.
    pub(crate) fn observe(&self, reader: usize, observation: Observation) {
        if let Some(reader) = self.record.lock().readers.get_mut(reader) {
            match &observation {
                Observation::Priming { id, .. } => reader.last_event_id = Some(*id),
                Observation::Message { id, .. } => {
                    reader.last_event_id = id.or(reader.last_event_id);
                }
                Observation::Gap(_)
                | Observation::Connected { .. }
                | Observation::Disconnected { .. }
                | Observation::Resumed
                | Observation::Relaxed => {}
            }
            reader.observations.push(observation);
        }
    }

    /// Returns the event id to resume after.
    pub(crate) fn last_event_id(&self, reader: usize) -> Option<EventId> {
        self.record.lock().readers.get(reader)?.last_event_id
    }

    /// Returns the number of competing GETs that were ever opened.
    pub(crate) fn competing_gets(&self) -> u64 {
        self.record.lock().competing_gets_total
    }

    /// Records that the standalone stream was resumed, by a GET sent when `competing_gets`
    /// competing GETs had been opened. With another one, the client may not receive all that
    /// follows.
    pub(crate) fn on_standalone_resumed(&self, reader: usize, competing_gets: u64) {
        let has_competitors = {
            let record = self.record.lock();
            record.competing_gets > 0 || record.competing_gets_total > competing_gets
        };
        self.observe(reader, Observation::Resumed);
        if has_competitors {
            self.observe(reader, Observation::Relaxed);
        }
    }

    /// Records that a competing GET was opened.
    pub(crate) fn begin_competing_get(&self) {
        let mut record = self.record.lock();
        record.competing_gets += 1;
        record.competing_gets_total += 1;
        let own = record.readers.iter_mut().filter(|it| it.kind == ReaderKind::Standalone);
        own.for_each(|reader| reader.observations.push(Observation::Relaxed));
    }

    /// Records that a competing GET was closed.
    pub(crate) fn end_competing_get(&self) {
        let mut record = self.record.lock();
        record.competing_gets = record.competing_gets.saturating_sub(1);
    }

    /// Adds the requests of one POST.
    pub(crate) fn add_requests(&self, ids: &[RequestId], reader: usize, must_be_answered: bool) {
        let sent_at = Instant::now();
        self.record.lock().requests.extend(ids.iter().map(|id| ClientRequest {
            id: id.clone(),
            reader,
            sent_at,
            must_be_answered,
            is_accepted: false,
            is_cancelled: false,
            is_duplicated: false,
            outcome: None,
            is_refused: false,
        }));
    }

    /// Updates the requests of a reader.
    pub(crate) fn update_requests(&self, reader: usize, change: impl FnMut(&mut ClientRequest)) {
        let mut record = self.record.lock();
        record.requests.iter_mut().filter(|request| request.reader == reader).for_each(change);
    }

    /// Returns the ids of a reader's pending requests.
    pub(crate) fn pending(&self, reader: usize) -> Vec<RequestId> {
        let record = self.record.lock();
        let open = record.requests.iter().filter(|it| it.reader == reader && it.outcome.is_none());
        open.filter(|request| !request.is_refused).map(|request| request.id.clone()).collect()
    }

    /// Settles the pending requests of a reader. Returns their number.
    pub(crate) fn settle_rest(&self, reader: usize, outcome: Outcome) -> usize {
        let mut count = 0;
        self.update_requests(reader, |request| {
            if request.outcome.is_none() && !request.is_refused {
                request.outcome = Some((outcome, Instant::now()));
                count += 1;
            }
        });
        count
    }

    /// Settles the request that a response or a failure names.
    pub(crate) fn settle(
        &self,
        reader: usize,
        id: &RequestId,
        outcome: Outcome,
    ) -> Result<bool, String> {
        let mut record = self.record.lock();
        let Some(known) = record.readers.get(reader) else { return Ok(false) };
        let ReaderKind::Requests(ids) = &known.kind else { return Ok(false) };
        if !ids.contains(id) {
            return Err(format!("a response to {id} was received on the stream of {ids:?}"));
        }
        let mut own = record.requests.iter_mut().filter(|request| request.reader == reader);
        let Some(request) = own.find(|request| request.id == *id) else { return Ok(false) };
        match request.outcome {
            Some((Outcome::Answered | Outcome::Failed(_), _)) => {
                Err(format!("request {id} was answered twice"))
            }
            Some(_) => Ok(false),
            None => {
                request.outcome = Some((outcome, Instant::now()));
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn detects_duplicated_and_misrouted_responses() {
        let session =
            ClientSession::new(String::new(), String::new(), String::new(), Instant::now());
        let reader = session.add_reader(ReaderKind::Requests(vec![1.into()]));
        session.add_requests(&[1.into()], reader, false);
        assert_eq!(session.settle(reader, &1.into(), Outcome::Answered), Ok(true));
        assert!(session.settle(reader, &1.into(), Outcome::Answered).is_err());
        assert!(session.settle(reader, &2.into(), Outcome::Answered).is_err());
        assert!(session.pending(reader).is_empty());
    }
}
