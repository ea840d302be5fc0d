//! The truth: what the backend said, and at which place of which stream it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rejoin_core::{
    Action, Event, Head, Input, Instant, Message, Notification, ProgressToken, Report, RequestId,
    StreamId, UnansweredReason, UnrelatedRouting,
};

use crate::laws::{LogView, Step, View, answered_id, request_id};

/// What the streams of one session hold, whether or not it is still there.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    streams: BTreeMap<StreamId, BTreeMap<u64, Fact>>,
    asked: BTreeMap<RequestId, (StreamId, u64)>,
    orphaned: BTreeSet<RequestId>,
    /// What was answered, and reported to be let go of.
    evicted: BTreeSet<RequestId>,
    /// What was answered when nobody kept it any more.
    buried: BTreeSet<RequestId>,
}

/// What stands at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The message that was said.
    pub body: u64,
    /// When it was said.
    pub said_at: Instant,
    /// The request that it answers.
    pub answers: Option<RequestId>,
    /// Whether nobody need see it any more.
    pub is_void: bool,
}

impl Truth {
    /// Notes what a step recorded. Returns the request that it is about.
    ///
    /// # Errors
    ///
    /// A message of the backend is on another stream than it belongs on, or nowhere.
    pub fn note(
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
                self.void(id);
            } else if let Action::Report(Report::ResponseEvicted { id, .. }) = action {
                self.evicted.insert(id.clone());
            }
        }
        let (Input::BackendMessage { message, related }, Ok(_)) = (&step.input, &step.result)
        else {
            return Ok(None);
        };
        let pending = |id: &RequestId| {
            let stream = before.stream_of(id)?;
            let orphaned = Action::CancelRequest { id: id.clone() };
            (!step.actions.contains(&orphaned)).then_some(stream)
        };
        let about = about(message, related.as_ref()).filter(|id| pending(id).is_some());
        let expected = match &about {
            Some(id) => pending(id),
            None => default_place(&message.head, unrelated),
        };
        let place = place(step, message, expected);
        if let (Some(expected), Some((stream, _))) = (expected, place)
            && expected != stream
        {
            return Err(format!("{message:?} belongs on {expected}, and is on {stream}"));
        }
        let is_progress = matches!(message.head, Head::Notification(Notification::Progress { .. }));
        if is_progress && about.is_none() && place.is_some() {
            // Nothing here creates tasks, whose tokens live on.
            return Err(format!("{message:?} is of no pending request, and is at {place:?}"));
        }
        if let Some((stream, index)) = place {
            self.record(stream, index, step.now, message)?;
        } else {
            check_gone(before, step, message, expected)?;
            self.buried.extend(answered_id(&message.head).and(about.clone()));
        }
        Ok(about)
    }

    fn record(
        &mut self,
        stream: StreamId,
        index: u64,
        said_at: Instant,
        message: &Message<u64>,
    ) -> Result<(), String> {
        let facts = self.streams.entry(stream).or_default();
        if let Some((last, _)) = facts.last_key_value()
            && *last >= index
        {
            return Err(format!("{message:?} is at {index} of {stream}, which had {last} before"));
        }
        let answers = answered_id(&message.head).cloned();
        facts.insert(index, Fact { body: message.body, said_at, answers, is_void: false });
        if let Some(id) = request_id(&message.head) {
            self.asked.insert(id.clone(), (stream, index));
        }
        Ok(())
    }

    fn void(&mut self, id: &RequestId) {
        let Some((stream, index)) = self.asked.remove(id) else {
            return;
        };
        let facts = self.streams.get_mut(&stream);
        if let Some(fact) = facts.and_then(|facts| facts.get_mut(&index)) {
            fact.is_void = true;
        }
    }

    /// Returns where a request of the backend stands.
    #[must_use]
    pub fn place_of(&self, asked: &RequestId) -> Option<(StreamId, u64)> {
        self.asked.get(asked).copied()
    }

    /// Returns what stands at a place.
    #[must_use]
    pub fn at(&self, stream: StreamId, index: u64) -> Option<&Fact> {
        self.streams.get(&stream)?.get(&index)
    }

    /// Returns the places in a range that somebody should see.
    pub fn within(&self, stream: StreamId, range: Range<u64>) -> impl Iterator<Item = u64> {
        let facts = self.streams.get(&stream).into_iter();
        let facts = facts.flat_map(move |facts| facts.range(range.clone()));
        facts.filter(|(_, fact)| !fact.is_void).map(|(index, _)| *index)
    }

    /// Returns whether the answer to a request was buried as soon as it came.
    #[must_use]
    pub fn is_buried(&self, request: &RequestId) -> bool {
        self.buried.contains(request)
    }

    /// Returns whether the session reported that the answer to a request was let go of.
    pub(in crate::world) fn is_evicted(&self, request: &RequestId) -> bool {
        self.evicted.contains(request)
    }

    /// Returns whether the session gave a request up for lack of a connection.
    #[must_use]
    pub fn is_orphaned(&self, request: &RequestId) -> bool {
        self.orphaned.contains(request)
    }
}

/// Returns the request of the client that a message says it is about. The token of a
/// request is its id.
fn about(message: &Message<u64>, related: Option<&RequestId>) -> Option<RequestId> {
    match &message.head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => Some(id.clone()),
        Head::Notification(Notification::Progress { token }) => Some(request_of(token)),
        Head::Notification(Notification::Cancelled { .. }) | Head::Error { id: None } => None,
        Head::Notification(Notification::Log | Notification::Other) | Head::Request { .. } => {
            related.cloned()
        }
    }
}

/// Returns the id of the request that has a token.
fn request_of(token: &ProgressToken) -> RequestId {
    match token.value() {
        rejoin_core::IdValue::Integer(integer) => (*integer).into(),
        rejoin_core::IdValue::Text(text) => RequestId::try_from(&**text).unwrap_or(0.into()),
    }
}

/// Returns where a message goes that is about no pending request, if that is sure.
fn default_place(head: &Head, unrelated: UnrelatedRouting) -> Option<StreamId> {
    let is_free = match head {
        Head::Notification(Notification::Other) => true,
        Head::Notification(Notification::Log) | Head::Request { .. } => {
            unrelated == UnrelatedRouting::Standalone
        }
        Head::Notification(Notification::Progress { .. } | Notification::Cancelled { .. })
        | Head::Response { .. }
        | Head::Error { .. } => false,
    };
    is_free.then_some(StreamId::Standalone)
}

/// Returns where a message was recorded.
fn place(
    step: &Step,
    message: &Message<u64>,
    expected: Option<StreamId>,
) -> Option<(StreamId, u64)> {
    let event = Event::Message(message.body);
    let answered = answered_id(&message.head);
    let is_here = |found: &Event<u64>, stream: Option<StreamId>| match found {
        Event::Message(_) => *found == event,
        // An id may be used again, on another stream.
        Event::Failure(failure) => answered == Some(&failure.id) && stream == expected,
        Event::Priming { .. } => false,
    };
    let sent = step.actions.iter().find_map(|action| {
        let Action::Send { index, id, event, .. } = action else {
            return None;
        };
        let stream = id.map(|id| id.stream);
        is_here(event, stream).then_some((stream.or(expected)?, *index))
    });
    sent.or_else(|| {
        let is_in = |log: &&LogView| {
            log.newest.as_ref().is_some_and(|newest| is_here(newest, Some(log.stream)))
        };
        let log = step.after.logs.iter().find(is_in)?;
        Some((log.stream, log.last))
    })
}

/// Checks that a message may be nowhere: it answers nothing, or was let go of at once.
fn check_gone(
    before: &View,
    step: &Step,
    message: &Message<u64>,
    expected: Option<StreamId>,
) -> Result<(), String> {
    let Some(stream) = expected.filter(|_| step.after.closed.is_none()) else {
        return Ok(());
    };
    // Before the session is initialized, nobody can hear a request of the backend.
    let asked = request_id(&message.head);
    let fails = |action: &Action<u64>| matches!(action, Action::FailServerRequest { id, .. } if Some(id) == asked);
    if step.actions.iter().any(fails) {
        return Ok(());
    }
    let is_undeliverable =
        |action: &Action<u64>| matches!(action, Action::Report(Report::Undeliverable { .. }));
    let last = |view: &View| view.log(stream).map(|log| log.last);
    let is_there = last(&step.after).is_some() && last(&step.after) == last(before);
    if is_there || step.actions.iter().any(is_undeliverable) {
        return Err(format!("{message:?} belongs on {stream}, and is nowhere"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Backpressure, ConnectionId, EventId, Initialized};

    use super::*;

    const STREAM: StreamId = StreamId::Request(3);

    fn before() -> View {
        let log =
            |stream| LogView { stream, last: 4, missed: 0, events: 1, bytes: 0, newest: None };
        View {
            pending: 1,
            requests: vec![(7.into(), STREAM)],
            logs: vec![log(StreamId::Standalone), log(STREAM)],
            ..View::default()
        }
    }

    fn said(head: Head, related: Option<RequestId>, at: Option<StreamId>) -> Step {
        let message = Message { head, body: 9, bytes: 10 };
        let actions = at.into_iter().map(|stream| Action::Send {
            connection: ConnectionId(1),
            index: 5,
            id: Some(EventId::new(stream, 5)),
            event: Event::Message(9),
        });
        Step {
            now: Instant::EPOCH,
            input: Input::BackendMessage { message, related },
            result: Ok(Backpressure::None),
            actions: actions.collect(),
            replays: Vec::new(),
            after: before(),
        }
    }

    fn note(step: &Step) -> Result<Option<RequestId>, String> {
        Truth::default().note(UnrelatedRouting::Standalone, &before(), step)
    }

    #[test]
    fn a_message_on_the_wrong_stream_is_seen() {
        let head = Head::Response {
            id: 7.into(),
            initialized: Initialized::default(),
            creates_task: false,
        };
        assert_eq!(note(&said(head.clone(), None, Some(STREAM))), Ok(Some(7.into())));
        assert!(note(&said(head, None, Some(StreamId::Standalone))).is_err());
        let other = Head::Notification(Notification::Other);
        assert_eq!(note(&said(other.clone(), None, Some(StreamId::Standalone))), Ok(None));
        assert!(note(&said(other, Some(7.into()), Some(StreamId::Standalone))).is_err());
    }

    #[test]
    fn progress_of_a_request_that_is_over_is_seen() {
        let progress = Head::Notification(Notification::Progress { token: 9.into() });
        assert!(note(&said(progress.clone(), None, None)).is_ok());
        assert!(note(&said(progress, None, Some(StreamId::Standalone))).is_err());
    }

    #[test]
    fn a_message_that_is_nowhere_is_seen() {
        let progress = Head::Notification(Notification::Progress { token: 7.into() });
        let mut nowhere = said(progress, None, None);
        assert!(note(&nowhere).is_err());
        nowhere.after.logs[1].last = 5;
        assert!(note(&nowhere).is_ok(), "it was recorded, and let go of at once");
        nowhere.after.logs.pop();
        assert!(note(&nowhere).is_ok(), "its stream is over");
    }

    #[test]
    fn a_place_that_is_used_twice_is_seen() {
        let step = said(Head::Notification(Notification::Other), None, Some(StreamId::Standalone));
        let mut truth = Truth::default();
        assert!(truth.note(UnrelatedRouting::Standalone, &before(), &step).is_ok());
        assert!(truth.note(UnrelatedRouting::Standalone, &before(), &step).is_err());
    }
}
