//! Chains: what a client sees of one stream, over all the connections on which it
//! comes back to it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rejoin_core::{Event, EventId, Failure, FailureReason, RequestId, StreamId};

use super::truth::Truth;
use crate::world::messages::Said;

/// What a client has seen of a stream.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Which one it is, once an id has said so.
    pub stream: Option<StreamId>,
    /// All through here was seen; unknown before the first event.
    pub last: Option<u64>,
    /// Of which events it was told that some are missing.
    gaps: Vec<RangeInclusive<u64>>,
    /// Whether something without an id has come, which is all that comes.
    is_whole: bool,
    /// Whether nothing may be missing that it is not told of.
    pub is_sure: bool,
}

impl Chain {
    /// A stream that begins with the exchange.
    #[must_use]
    pub fn fresh() -> Self {
        let (gaps, is_whole) = (Vec::new(), false);
        Self { stream: None, last: Some(0), gaps, is_whole, is_sure: true }
    }

    /// The standalone stream, from wherever it begins.
    #[must_use]
    pub fn standalone() -> Self {
        Self { stream: Some(StreamId::Standalone), last: None, ..Self::fresh() }
    }

    /// A stream from an event on that was not, perhaps, the last one seen.
    #[must_use]
    pub fn after(id: EventId) -> Self {
        let is_sure = id.stream != StreamId::Standalone;
        Self { stream: Some(id.stream), last: Some(id.index), is_sure, ..Self::fresh() }
    }

    /// Returns what to resume after.
    #[must_use]
    pub fn last_event_id(&self) -> Option<EventId> {
        Some(EventId::new(self.stream?, self.last?))
    }

    /// Hears that events are missing before the next one.
    ///
    /// # Errors
    ///
    /// It has seen one of them.
    pub fn tell(&mut self, missed: RangeInclusive<u64>) -> Result<(), String> {
        if let Some(last) = self.last.filter(|last| missed.start() <= last) {
            return Err(format!("told of a gap {missed:?}, but has seen all through {last}"));
        }
        self.gaps.push(missed);
        Ok(())
    }

    /// Sees an event.
    ///
    /// # Errors
    ///
    /// It is not the one that comes next, by the truth.
    pub fn see(
        &mut self,
        truth: &Truth,
        id: Option<EventId>,
        event: &Event<u64>,
    ) -> Result<(), String> {
        let Some(EventId { stream, index }) = id else {
            // One JSON object, or the answer to `initialize`.
            if (self.stream, self.last, self.is_whole) == (None, Some(0), false) {
                self.is_whole = true;
                return Ok(());
            }
            return Err(format!("{event:?} has no id, but is not alone: {self:?}"));
        };
        if self.is_whole {
            return Err(format!("{event:?} came after all that comes: {self:?}"));
        }
        if self.stream.is_some_and(|known| known != stream) {
            return Err(format!("{event:?} is of stream {stream}: {self:?}"));
        }
        self.stream = Some(stream);
        let is_place = index == 0 && matches!(event, Event::Priming { retry: None });
        if self.last.is_some_and(|last| index < last || index == last && !is_place) {
            return Err(format!("{event:?} at {index} comes again, or too late: {self:?}"));
        }
        check_identity(truth, stream, index, event)?;
        if let Some(last) = self.last.filter(|last| self.is_sure && *last < index) {
            let is_told = |index: &u64| self.gaps.iter().any(|gap| gap.contains(index));
            if let Some(missing) = truth.within(stream, last + 1..index).find(|at| !is_told(at)) {
                return Err(format!("{missing} of {stream} is missing before {index}: {self:?}"));
            }
        }
        self.last = Some(index);
        self.gaps.retain(|gap| *gap.end() > index);
        Ok(())
    }
}

/// Checks that an event is what stands at its place, or a failure instead.
fn check_identity(
    truth: &Truth,
    stream: StreamId,
    index: u64,
    event: &Event<u64>,
) -> Result<(), String> {
    let fact = truth.at(stream, index);
    let fits = match (event, fact) {
        (Event::Priming { .. }, _) => true,
        (Event::Message(body), Some(fact)) => *body == fact.body,
        (Event::Message(_), None) => false,
        (Event::Failure(Failure { id, reason }), fact) => match fact {
            Some(fact) => {
                let is_late = matches!(reason, FailureReason::Evicted | FailureReason::Expired);
                is_late && fact.answers.as_ref() == Some(id)
            }
            None => match reason {
                FailureReason::BackendGone | FailureReason::SessionClosed => true,
                FailureReason::Orphaned => truth.is_orphaned(id),
                FailureReason::Expired => truth.is_orphaned(id) || truth.is_buried(id),
                // It was so from the beginning.
                FailureReason::Evicted => false,
            },
        },
    };
    if fits {
        return Ok(());
    }
    Err(format!("{event:?} came as {index} of {stream}, but the backend said {fact:?}"))
}

/// Checks that a message is of the client's own session, and about none but the
/// requests of its stream.
pub(in crate::world) fn check_owner(
    said: &Said,
    server: usize,
    requests: Option<&BTreeSet<RequestId>>,
) -> Result<(), String> {
    if said.server != server {
        return Err(format!("{said:?} came in session {server}"));
    }
    match (&said.about, requests) {
        (Some(about), Some(requests)) if !requests.contains(about) => {
            Err(format!("{said:?} came on the stream of {requests:?}"))
        }
        (Some(_), None) => Err(format!("{said:?} came on the standalone stream")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{
        Action, Backpressure, ConnectionId, Head, Initialized, Input, Instant, Message,
        Notification, UnrelatedRouting,
    };

    use super::*;
    use crate::laws::{Step, View};

    const STREAM: StreamId = StreamId::Standalone;

    /// A truth of four notifications, whose bodies are ten times their places.
    fn truth() -> Truth {
        let mut truth = Truth::default();
        for index in 1..=4 {
            let head = Head::Notification(Notification::Other);
            let id = Some(EventId::new(STREAM, index));
            let event = Event::Message(10 * index);
            let step = Step {
                now: Instant::EPOCH,
                input: Input::BackendMessage {
                    message: Message { head, body: 10 * index, bytes: 0 },
                    related: None,
                },
                result: Ok(Backpressure::None),
                actions: vec![Action::Send { connection: ConnectionId(1), index, id, event }],
                replays: Vec::new(),
                after: View::default(),
            };
            truth.note(UnrelatedRouting::Standalone, &View::default(), &step).unwrap();
        }
        truth
    }

    fn see(chain: &mut Chain, index: u64, body: u64) -> Result<(), String> {
        chain.see(&truth(), Some(EventId::new(STREAM, index)), &Event::Message(body))
    }

    fn seen(events: &[(u64, u64)]) -> Result<(), String> {
        let mut chain = Chain::standalone();
        events.iter().try_for_each(|(index, body)| see(&mut chain, *index, *body))
    }

    #[test]
    fn what_comes_once_and_in_order_is_fine() {
        assert!(seen(&[(1, 10), (2, 20), (3, 30), (4, 40)]).is_ok());
        assert!(seen(&[(3, 30), (4, 40)]).is_ok(), "it begins anywhere");
    }

    #[test]
    fn an_event_that_comes_twice_or_late_is_seen() {
        assert!(seen(&[(1, 10), (2, 20), (2, 20)]).is_err());
        assert!(seen(&[(2, 20), (1, 10)]).is_err());
    }

    #[test]
    fn an_event_that_is_missing_is_seen_unless_it_was_told() {
        assert!(seen(&[(1, 10), (3, 30)]).is_err());
        let mut chain = Chain::standalone();
        see(&mut chain, 1, 10).unwrap();
        chain.tell(2..=3).unwrap();
        see(&mut chain, 4, 40).unwrap();
        let mut chain = Chain::standalone();
        see(&mut chain, 1, 10).unwrap();
        chain.tell(2..=2).unwrap();
        assert!(see(&mut chain, 4, 40).is_err(), "3 was not told");
        let mut unsure = Chain { is_sure: false, ..Chain::standalone() };
        see(&mut unsure, 1, 10).unwrap();
        assert!(see(&mut unsure, 4, 40).is_ok());
    }

    #[test]
    fn a_gap_before_what_was_seen_is_seen() {
        let mut chain = Chain::standalone();
        see(&mut chain, 2, 20).unwrap();
        assert!(chain.tell(2..=3).is_err());
        assert!(chain.tell(3..=3).is_ok());
    }

    #[test]
    fn an_event_that_is_not_what_was_said_is_seen() {
        assert!(seen(&[(1, 20)]).is_err());
        assert!(seen(&[(9, 90)]).is_err());
        let failure = Event::Failure(Failure { id: 7.into(), reason: FailureReason::Evicted });
        let id = Some(EventId::new(STREAM, 1));
        assert!(Chain::standalone().see(&truth(), id, &failure).is_err());
    }

    #[test]
    fn an_event_of_another_stream_is_seen() {
        let other = Some(EventId::new(StreamId::Request(1), 1));
        assert!(Chain::standalone().see(&truth(), other, &Event::Message(10)).is_err());
        assert!(Chain::standalone().see(&truth(), None, &Event::Message(10)).is_err());
        let mut whole = Chain::fresh();
        assert!(whole.see(&truth(), None, &Event::Message(10)).is_ok());
        assert!(whole.clone().see(&truth(), None, &Event::Message(20)).is_err());
        assert!(see(&mut whole, 1, 10).is_err());
    }

    #[test]
    fn a_message_of_another_session_or_request_is_seen() {
        let head = Head::Response {
            id: 7.into(),
            initialized: Initialized::default(),
            creates_task: false,
        };
        let said = Said { server: 1, head, about: Some(7.into()) };
        let own = BTreeSet::from([7.into(), 8.into()]);
        assert!(check_owner(&said, 1, Some(&own)).is_ok());
        assert!(check_owner(&said, 2, Some(&own)).is_err());
        assert!(check_owner(&said, 1, Some(&BTreeSet::from([8.into()]))).is_err());
        assert!(check_owner(&said, 1, None).is_err());
    }
}
