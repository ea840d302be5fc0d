//! Events that a client receives on one stream, over all connections on which it resumes it.

use std::ops::RangeInclusive;

use rejoin_core::{Event, EventId, Failure, FailureReason, StreamId};

use super::ground_truth::GroundTruth;

/// Checks the events of one stream.
#[derive(Clone, Debug)]
pub struct StreamChecker {
    /// The stream, once an event id was received.
    pub stream: Option<StreamId>,
    /// The last index received; `None` before the first event.
    pub last: Option<u64>,
    /// The gaps that were reported and lie ahead.
    gaps: Vec<RangeInclusive<u64>>,
    /// Whether an event without an id was received, which must be the only one.
    is_complete: bool,
    /// Whether every missing event must have been reported.
    pub is_strict: bool,
}

impl StreamChecker {
    /// A new request stream.
    #[must_use]
    pub fn from_start() -> Self {
        let (gaps, is_complete) = (Vec::new(), false);
        Self { stream: None, last: Some(0), gaps, is_complete, is_strict: true }
    }

    /// The standalone stream, from any index.
    #[must_use]
    pub fn standalone() -> Self {
        Self { stream: Some(StreamId::Standalone), last: None, ..Self::from_start() }
    }

    /// A stream after an event that was perhaps not the last one received.
    #[must_use]
    pub fn after(id: EventId) -> Self {
        let is_strict = id.stream != StreamId::Standalone;
        Self { stream: Some(id.stream), last: Some(id.index), is_strict, ..Self::from_start() }
    }

    /// Returns the event id to resume after.
    #[must_use]
    pub fn last_event_id(&self) -> Option<EventId> {
        Some(EventId::new(self.stream?, self.last?))
    }

    /// Handles a report of missing events.
    ///
    /// # Errors
    ///
    /// One of them was received.
    pub fn on_gap(&mut self, missed: RangeInclusive<u64>) -> Result<(), String> {
        if let Some(last) = self.last.filter(|last| missed.start() <= last) {
            return Err(format!("gap {missed:?} was reported, but {last} was received before"));
        }
        self.gaps.push(missed);
        Ok(())
    }

    /// Handles an event.
    ///
    /// # Errors
    ///
    /// It is not the next event, by the ground truth.
    pub fn on_event(
        &mut self,
        ground_truth: &GroundTruth,
        id: Option<EventId>,
        event: &Event<u64>,
    ) -> Result<(), String> {
        let Some(EventId { stream, index }) = id else {
            // A JSON response, or the response to `initialize`.
            if (self.stream, self.last, self.is_complete) == (None, Some(0), false) {
                self.is_complete = true;
                return Ok(());
            }
            return Err(format!("{event:?} has no id, but is not the only event: {self:?}"));
        };
        if self.is_complete {
            return Err(format!("{event:?} was received after the only event: {self:?}"));
        }
        if self.stream.is_some_and(|known| known != stream) {
            return Err(format!("{event:?} belongs to stream {stream}: {self:?}"));
        }
        self.stream = Some(stream);
        let is_priming = index == 0 && matches!(event, Event::Priming { retry: None });
        if self.last.is_some_and(|last| index < last || index == last && !is_priming) {
            return Err(format!("{event:?} at {index} is duplicated or out of order: {self:?}"));
        }
        check_identity(ground_truth, stream, index, event)?;
        if let Event::Gap { first } = event {
            self.on_gap(*first..=index)?;
        }
        if let Some(last) = self.last.filter(|last| self.is_strict && *last < index) {
            let is_reported = |index: &u64| self.gaps.iter().any(|gap| gap.contains(index));
            if let Some(missing) =
                ground_truth.required_in(stream, last + 1..index).find(|at| !is_reported(at))
            {
                return Err(format!("{missing} of {stream} is missing before {index}: {self:?}"));
            }
        }
        self.last = Some(index);
        self.gaps.retain(|gap| *gap.end() > index);
        Ok(())
    }
}

/// Checks that an event is the message that was recorded at its index, or a failure in its
/// place.
fn check_identity(
    ground_truth: &GroundTruth,
    stream: StreamId,
    index: u64,
    event: &Event<u64>,
) -> Result<(), String> {
    let recorded = ground_truth.at(stream, index);
    let fits = match (event, recorded) {
        (Event::Priming { .. } | Event::Gap { .. }, _) => true,
        (Event::Message(body), Some(recorded)) => *body == recorded.body,
        (Event::Message(_), None) => false,
        (Event::Failure(Failure { id, reason }), recorded) => match recorded {
            Some(recorded) => {
                let replaces_response =
                    matches!(reason, FailureReason::Evicted | FailureReason::Expired);
                replaces_response && recorded.response_to.as_ref() == Some(id)
            }
            None => match reason {
                FailureReason::BackendGone | FailureReason::SessionClosed => true,
                FailureReason::Orphaned => ground_truth.is_orphaned(id),
                FailureReason::Expired => {
                    ground_truth.is_orphaned(id)
                        || ground_truth.is_expired(id)
                        || ground_truth.has_lost_backend(id)
                }
                // It was evicted before it was recorded.
                FailureReason::Evicted => false,
            },
        },
    };
    if fits {
        return Ok(());
    }
    Err(format!("{event:?} was received as {index} of {stream}, but {recorded:?} was recorded"))
}

#[cfg(test)]
mod tests {
    use rejoin_core::{
        Action, ConnectionId, Head, Input, Instant, Message, Notification, Overflow,
        UnrelatedRouting,
    };

    use super::*;
    use crate::laws::{Step, View};

    const STREAM: StreamId = StreamId::Standalone;

    /// Four notifications; the body of each is ten times its index.
    fn ground_truth() -> GroundTruth {
        let mut ground_truth = GroundTruth::default();
        for index in 1..=4 {
            let head = Head::Notification(Notification::Other);
            let id = EventId::new(STREAM, index);
            let event = Event::Message(10 * index);
            let step = Step {
                now: Instant::EPOCH,
                input: Input::BackendMessage {
                    message: Message { head, body: 10 * index, bytes: 0 },
                    related: None,
                    overflow: Overflow::Hold,
                },
                result: Ok(()),
                actions: vec![Action::Send { connection: ConnectionId(1), id, event }],
                after: View::default(),
            };
            ground_truth
                .record_step(UnrelatedRouting::Standalone, &View::default(), &step)
                .unwrap();
        }
        ground_truth
    }

    fn see(checker: &mut StreamChecker, index: u64, body: u64) -> Result<(), String> {
        checker.on_event(&ground_truth(), Some(EventId::new(STREAM, index)), &Event::Message(body))
    }

    fn seen(events: &[(u64, u64)]) -> Result<(), String> {
        let mut checker = StreamChecker::standalone();
        events.iter().try_for_each(|(index, body)| see(&mut checker, *index, *body))
    }

    #[test]
    fn accepts_events_once_and_in_order() {
        assert!(seen(&[(1, 10), (2, 20), (3, 30), (4, 40)]).is_ok());
        assert!(seen(&[(3, 30), (4, 40)]).is_ok(), "it may begin at any index");
    }

    #[test]
    fn detects_duplicated_and_reordered_events() {
        assert!(seen(&[(1, 10), (2, 20), (2, 20)]).is_err());
        assert!(seen(&[(2, 20), (1, 10)]).is_err());
    }

    #[test]
    fn detects_unreported_gap() {
        assert!(seen(&[(1, 10), (3, 30)]).is_err());
        let mut checker = StreamChecker::standalone();
        see(&mut checker, 1, 10).unwrap();
        checker.on_gap(2..=3).unwrap();
        see(&mut checker, 4, 40).unwrap();
        let mut checker = StreamChecker::standalone();
        see(&mut checker, 1, 10).unwrap();
        checker.on_gap(2..=2).unwrap();
        assert!(see(&mut checker, 4, 40).is_err(), "3 was not reported");
        let mut unsure = StreamChecker { is_strict: false, ..StreamChecker::standalone() };
        see(&mut unsure, 1, 10).unwrap();
        assert!(see(&mut unsure, 4, 40).is_ok());
    }

    #[test]
    fn detects_gap_over_received_events() {
        let mut checker = StreamChecker::standalone();
        see(&mut checker, 2, 20).unwrap();
        assert!(checker.on_gap(2..=3).is_err());
        assert!(checker.on_gap(3..=3).is_ok());
    }

    #[test]
    fn detects_wrong_event() {
        assert!(seen(&[(1, 20)]).is_err());
        assert!(seen(&[(9, 90)]).is_err());
        let failure = Event::Failure(Failure { id: 7.into(), reason: FailureReason::Evicted });
        let id = Some(EventId::new(STREAM, 1));
        assert!(StreamChecker::standalone().on_event(&ground_truth(), id, &failure).is_err());
    }

    #[test]
    fn accepts_that_a_failure_of_a_lost_backend_expires() {
        let expired = |id: i64| Failure { id: id.into(), reason: FailureReason::Expired };
        let see = |ground_truth: &GroundTruth, id| {
            let (stream, event) = (StreamId::Request(0), Event::Failure(expired(id)));
            StreamChecker::from_start().on_event(
                ground_truth,
                Some(EventId::new(stream, 1)),
                &event,
            )
        };
        let mut ground_truth = ground_truth();
        assert!(see(&ground_truth, 7).is_err());
        let before = View { requests: vec![(7.into(), StreamId::Request(0))], ..View::default() };
        let step = Step {
            now: Instant::EPOCH,
            input: Input::BackendLost,
            result: Ok(()),
            actions: Vec::new(),
            after: View::default(),
        };
        ground_truth.record_step(UnrelatedRouting::Standalone, &before, &step).unwrap();
        assert!(see(&ground_truth, 7).is_ok());
        assert!(see(&ground_truth, 8).is_err(), "it was not pending");
    }

    #[test]
    fn detects_event_of_another_stream() {
        let other = Some(EventId::new(StreamId::Request(1), 1));
        assert!(
            StreamChecker::standalone()
                .on_event(&ground_truth(), other, &Event::Message(10))
                .is_err()
        );
        assert!(
            StreamChecker::standalone()
                .on_event(&ground_truth(), None, &Event::Message(10))
                .is_err()
        );
        let mut checker = StreamChecker::from_start();
        assert!(checker.on_event(&ground_truth(), None, &Event::Message(10)).is_ok());
        assert!(checker.clone().on_event(&ground_truth(), None, &Event::Message(20)).is_err());
        assert!(see(&mut checker, 1, 10).is_err());
    }
}
