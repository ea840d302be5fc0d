//! The ground truth: what the backend sent, and the event that each message was recorded as.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rejoin_core::{
    Action, Event, Head, Input, Instant, Message, Notification, Overflow, ProgressToken, Rejection,
    Report, RequestId, StreamId, UnansweredReason, UnrelatedRouting,
};

use crate::laws::{LogView, Step, View, answered_id, request_id, sent_event};

/// The messages of one session's streams, whether or not they are still logged.
#[derive(Clone, Debug, Default)]
pub struct GroundTruth {
    streams: BTreeMap<StreamId, BTreeMap<u64, RecordedMessage>>,
    server_requests: BTreeMap<RequestId, (StreamId, u64)>,
    orphaned: BTreeSet<RequestId>,
    /// Requests whose response was reported as evicted.
    evicted: BTreeSet<RequestId>,
    /// Requests that were answered when their stream was already a tombstone.
    expired: BTreeSet<RequestId>,
    /// Requests that were pending when the session lost its backend.
    without_backend: BTreeSet<RequestId>,
}

/// A message that was recorded as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedMessage {
    /// The body of the message.
    pub body: u64,
    /// When the backend sent it.
    pub recorded_at: Instant,
    /// The request that it answers.
    pub response_to: Option<RequestId>,
    /// Whether a client need not receive it any more.
    pub is_withdrawn: bool,
}

impl GroundTruth {
    /// Records the messages of a step. Returns the client request that the step's message
    /// belongs to.
    ///
    /// # Errors
    ///
    /// A backend message was recorded on the wrong stream, or not at all; or it was rejected as
    /// full, and its sender cannot wait or is not held by its stream.
    pub fn record_step(
        &mut self,
        unrelated: UnrelatedRouting,
        before: &View,
        step: &Step,
    ) -> Result<Option<RequestId>, String> {
        for action in &step.actions {
            if let Action::CancelRequest { id } = action {
                self.orphaned.insert(id.clone());
            } else if let Action::FailServerRequest { id, reason: UnansweredReason::Undelivered } =
                action
            {
                self.withdraw(id);
            } else if let Action::Report(Report::ResponseEvicted { id, .. }) = action {
                self.evicted.insert(id.clone());
            }
        }
        if step.loses_backend() {
            let pending = before.requests.iter().map(|(id, _)| id.clone());
            self.without_backend.extend(pending);
        }
        let Input::BackendMessage { message, related, overflow } = &step.input else {
            return Ok(None);
        };
        let pending = |id: &RequestId| {
            let stream = before.stream_of(id)?;
            let orphaned = Action::CancelRequest { id: id.clone() };
            (!step.actions.contains(&orphaned)).then_some(stream)
        };
        let client_request =
            request_of(message, related.as_ref()).filter(|id| pending(id).is_some());
        let expected = match &client_request {
            Some(id) => pending(id),
            None => default_stream(&message.head, unrelated),
        };
        match &step.result {
            Ok(()) => {}
            Err(Rejection::Full) => {
                check_held(step, message, *overflow, expected)?;
                return Ok(None);
            }
            Err(_) => return Ok(None),
        }
        let position = find_position(step, message, expected);
        if let (Some(expected), Some((stream, _))) = (expected, position)
            && expected != stream
        {
            return Err(format!("{message:?} belongs on {expected}, but was recorded on {stream}"));
        }
        let is_progress = matches!(message.head, Head::Notification(Notification::Progress { .. }));
        if is_progress && client_request.is_none() && position.is_some() {
            // No task is created here, so no token outlives its request.
            return Err(format!(
                "{message:?} belongs to no pending request, but was recorded at {position:?}"
            ));
        }
        if let Some((stream, index)) = position {
            self.record(stream, index, step.now, message)?;
        } else {
            check_dropped(before, step, message, expected)?;
            self.expired.extend(answered_id(&message.head).and(client_request.clone()));
        }
        Ok(client_request)
    }

    fn record(
        &mut self,
        stream: StreamId,
        index: u64,
        recorded_at: Instant,
        message: &Message<u64>,
    ) -> Result<(), String> {
        let messages = self.streams.entry(stream).or_default();
        if let Some((last, _)) = messages.last_key_value()
            && *last >= index
        {
            return Err(format!("{message:?} was recorded at {index} of {stream}, after {last}"));
        }
        let response_to = answered_id(&message.head).cloned();
        messages.insert(
            index,
            RecordedMessage { body: message.body, recorded_at, response_to, is_withdrawn: false },
        );
        if let Some(id) = request_id(&message.head) {
            self.server_requests.insert(id.clone(), (stream, index));
        }
        Ok(())
    }

    fn withdraw(&mut self, id: &RequestId) {
        let Some((stream, index)) = self.server_requests.remove(id) else {
            return;
        };
        let messages = self.streams.get_mut(&stream);
        if let Some(recorded) = messages.and_then(|messages| messages.get_mut(&index)) {
            recorded.is_withdrawn = true;
        }
    }

    /// Returns where a server request was recorded.
    #[must_use]
    pub fn position_of(&self, request: &RequestId) -> Option<(StreamId, u64)> {
        self.server_requests.get(request).copied()
    }

    /// Returns the message at a position.
    #[must_use]
    pub fn at(&self, stream: StreamId, index: u64) -> Option<&RecordedMessage> {
        self.streams.get(&stream)?.get(&index)
    }

    /// Returns the indices in a range that a client must receive.
    pub fn required_in(&self, stream: StreamId, range: Range<u64>) -> impl Iterator<Item = u64> {
        let messages = self.streams.get(&stream).into_iter();
        let messages = messages.flat_map(move |messages| messages.range(range.clone()));
        messages.filter(|(_, recorded)| !recorded.is_withdrawn).map(|(index, _)| *index)
    }

    /// Returns whether the response to a request came after its stream had expired.
    #[must_use]
    pub fn is_expired(&self, request: &RequestId) -> bool {
        self.expired.contains(request)
    }

    /// Returns whether the session reported the response to a request as evicted.
    #[must_use]
    pub fn is_evicted(&self, request: &RequestId) -> bool {
        self.evicted.contains(request)
    }

    /// Returns whether a request was pending when the session lost its backend.
    #[must_use]
    pub fn has_lost_backend(&self, request: &RequestId) -> bool {
        self.without_backend.contains(request)
    }

    /// Returns whether the session orphaned a request.
    #[must_use]
    pub fn is_orphaned(&self, request: &RequestId) -> bool {
        self.orphaned.contains(request)
    }
}

/// Returns the client request that a message belongs to. The progress token of a request is its
/// id.
fn request_of(message: &Message<u64>, related: Option<&RequestId>) -> Option<RequestId> {
    match &message.head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => Some(id.clone()),
        Head::Notification(Notification::Progress { token }) => Some(request_with_token(token)),
        Head::Notification(Notification::Cancelled { .. }) | Head::Error { id: None } => None,
        Head::Notification(Notification::Log | Notification::Other) | Head::Request { .. } => {
            related.cloned()
        }
    }
}

/// Returns the id of the request with a progress token.
fn request_with_token(token: &ProgressToken) -> RequestId {
    match token.value() {
        rejoin_core::IdValue::Integer(integer) => (*integer).into(),
        rejoin_core::IdValue::Text(text) => RequestId::try_from(&**text).unwrap_or(0.into()),
    }
}

/// Returns the stream of a message that belongs to no pending request, if it is certain.
fn default_stream(head: &Head, unrelated: UnrelatedRouting) -> Option<StreamId> {
    let is_certain = match head {
        Head::Notification(Notification::Other) => true,
        Head::Notification(Notification::Log) | Head::Request { .. } => {
            unrelated == UnrelatedRouting::Standalone
        }
        Head::Notification(Notification::Progress { .. } | Notification::Cancelled { .. })
        | Head::Response { .. }
        | Head::Error { .. } => false,
    };
    is_certain.then_some(StreamId::Standalone)
}

/// Returns where a message was recorded.
fn find_position(
    step: &Step,
    message: &Message<u64>,
    expected: Option<StreamId>,
) -> Option<(StreamId, u64)> {
    let event = Event::Message(message.body);
    let answered = answered_id(&message.head);
    let is_here = |found: &Event<u64>, stream: Option<StreamId>| match found {
        Event::Message(_) => *found == event,
        // An id may be reused on another stream.
        Event::Failure(failure) => answered == Some(&failure.id) && stream == expected,
        Event::Priming { .. } | Event::Gap { .. } => false,
    };
    let sent = step.actions.iter().find_map(|action| {
        let (_, index, id, event) = sent_event(action)?;
        let stream = id.map(|id| id.stream);
        is_here(&event, stream).then_some((stream.or(expected)?, index))
    });
    sent.or_else(|| {
        let is_in = |log: &&LogView| {
            log.newest.as_ref().is_some_and(|newest| is_here(newest, Some(log.stream)))
        };
        let log = step.after.logs.iter().find(is_in)?;
        Some((log.stream, log.last))
    })
}

/// Checks that a message that was rejected as full is held by its stream, and can wait.
fn check_held(
    step: &Step,
    message: &Message<u64>,
    overflow: Overflow,
    expected: Option<StreamId>,
) -> Result<(), String> {
    let held_by = step
        .actions
        .iter()
        .find_map(|action| if let Action::Hold { stream } = action { Some(*stream) } else { None });
    if overflow == Overflow::Hold
        && held_by.is_some()
        && (expected.is_none() || held_by == expected)
    {
        return Ok(());
    }
    Err(format!("{message:?} belongs on {expected:?}, but was rejected and held by {held_by:?}"))
}

/// Checks that a message may be recorded nowhere: it answers nothing, or was evicted at once.
fn check_dropped(
    before: &View,
    step: &Step,
    message: &Message<u64>,
    expected: Option<StreamId>,
) -> Result<(), String> {
    let Some(stream) = expected.filter(|_| step.after.closed.is_none()) else {
        return Ok(());
    };
    // Before the session is initialized, a server request fails at once.
    let server_request = request_id(&message.head);
    let fails = |action: &Action<u64>| matches!(action, Action::FailServerRequest { id, .. } if Some(id) == server_request);
    if step.actions.iter().any(fails) {
        return Ok(());
    }
    let is_undeliverable =
        |action: &Action<u64>| matches!(action, Action::Report(Report::Undeliverable { .. }));
    let last = |view: &View| view.log(stream).map(|log| log.last);
    let is_unchanged = last(&step.after).is_some() && last(&step.after) == last(before);
    if is_unchanged || step.actions.iter().any(is_undeliverable) {
        return Err(format!("{message:?} belongs on {stream}, but was not recorded"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, EventId, Initialized};

    use super::*;

    const STREAM: StreamId = StreamId::Request(3);

    fn before() -> View {
        let log = |stream| LogView {
            stream,
            last: 4,
            missed: 0,
            events: 1,
            bytes: 0,
            in_flight: Vec::new(),
            newest: None,
        };
        View {
            pending: 1,
            requests: vec![(7.into(), STREAM)],
            logs: vec![log(StreamId::Standalone), log(STREAM)],
            ..View::default()
        }
    }

    fn sent(head: Head, related: Option<RequestId>, at: Option<StreamId>) -> Step {
        let message = Message { head, body: 9, bytes: 10 };
        let actions = at.into_iter().map(|stream| Action::Send {
            connection: ConnectionId(1),
            id: EventId::new(stream, 5),
            event: Event::Message(9),
        });
        Step {
            now: Instant::EPOCH,
            input: Input::BackendMessage { message, related, overflow: Overflow::Hold },
            result: Ok(()),
            actions: actions.collect(),
            after: before(),
        }
    }

    fn record(step: &Step) -> Result<Option<RequestId>, String> {
        GroundTruth::default().record_step(UnrelatedRouting::Standalone, &before(), step)
    }

    #[test]
    fn detects_message_on_wrong_stream() {
        let head = Head::Response {
            id: 7.into(),
            initialized: Initialized::default(),
            creates_task: false,
        };
        assert_eq!(record(&sent(head.clone(), None, Some(STREAM))), Ok(Some(7.into())));
        assert!(record(&sent(head, None, Some(StreamId::Standalone))).is_err());
        let other = Head::Notification(Notification::Other);
        assert_eq!(record(&sent(other.clone(), None, Some(StreamId::Standalone))), Ok(None));
        assert!(record(&sent(other, Some(7.into()), Some(StreamId::Standalone))).is_err());
    }

    #[test]
    fn detects_progress_of_completed_request() {
        let progress = Head::Notification(Notification::Progress { token: 9.into() });
        assert!(record(&sent(progress.clone(), None, None)).is_ok());
        assert!(record(&sent(progress, None, Some(StreamId::Standalone))).is_err());
    }

    #[test]
    fn detects_unrecorded_message() {
        let progress = Head::Notification(Notification::Progress { token: 7.into() });
        let mut nowhere = sent(progress, None, None);
        assert!(record(&nowhere).is_err());
        nowhere.after.logs[1].last = 5;
        assert!(record(&nowhere).is_ok(), "it was recorded, and evicted at once");
        nowhere.after.logs.pop();
        assert!(record(&nowhere).is_ok(), "its stream no longer exists");
    }

    #[test]
    fn detects_message_held_by_wrong_stream() {
        let progress = || Head::Notification(Notification::Progress { token: 7.into() });
        let full = |stream, overflow| {
            let mut full = sent(progress(), None, None);
            full.result = Err(Rejection::Full);
            full.actions = vec![Action::Hold { stream }];
            if let Input::BackendMessage { overflow: it, .. } = &mut full.input {
                *it = overflow;
            }
            full
        };
        assert_eq!(record(&full(STREAM, Overflow::Hold)), Ok(None));
        assert!(record(&full(StreamId::Standalone, Overflow::Hold)).is_err());
        assert!(record(&full(STREAM, Overflow::Evict)).is_err());
        let not_held = Step { actions: Vec::new(), ..full(STREAM, Overflow::Hold) };
        assert!(record(&not_held).is_err());
    }

    #[test]
    fn detects_reused_position() {
        let step = sent(Head::Notification(Notification::Other), None, Some(StreamId::Standalone));
        let mut ground_truth = GroundTruth::default();
        assert!(ground_truth.record_step(UnrelatedRouting::Standalone, &before(), &step).is_ok());
        assert!(ground_truth.record_step(UnrelatedRouting::Standalone, &before(), &step).is_err());
    }
}
