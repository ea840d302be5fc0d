//! Latency: what is recorded reaches a client that reads, and does so at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use rejoin_core::{EventId, StreamId};
use tokio::time::Instant;

use super::history::History;
use crate::client_session::{Observation, ReaderKind, StreamReader};

/// Maximum latency in virtual time: that of a link, by which the clocks of client and session
/// differ.
const LATE_MAX: Duration = Duration::from_millis(50);
/// Maximum latency in real time, where the machine may be busy.
const LATE_MAX_REAL_TIME: Duration = Duration::from_secs(3);

/// A connection of the client.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    is_fault_free: bool,
}

/// Checks when a client received the events of a stream; for the client, its session began at
/// `started_at`.
///
/// On a fault-free connection, an event must arrive when it is sent. A client that is alone on
/// the stream must also, by the end of the connection, have received every event recorded
/// meanwhile, or a report that it is missing.
pub(super) fn check(
    history: &History,
    reader: &StreamReader,
    stream: Option<StreamId>,
    started_at: Instant,
    is_real_time: bool,
) -> Result<(), String> {
    let Some(stream) = stream else { return Ok(()) };
    let late_max = if is_real_time { LATE_MAX_REAL_TIME } else { LATE_MAX };
    let mut gaps: Vec<&RangeInclusive<u64>> = Vec::new();
    let mut last = None;
    let mut span = None;
    // Another connection may get the events that a spurious GET, or one that does not resume
    // after its last event, does not.
    let mut is_own = !matches!(reader.kind, ReaderKind::Spurious(_));
    for observation in &reader.observations {
        match observation {
            Observation::Resumed => is_own = true,
            Observation::Relaxed => is_own = false,
            Observation::Connected { at, is_fault_free } => {
                span = Some(Span { from: *at, is_fault_free: *is_fault_free });
            }
            Observation::Gap(missed) => gaps.push(missed),
            Observation::Priming { id, .. } => last = Some(id.index),
            Observation::Message { id: None, .. } => {}
            Observation::Message { id: Some(id), at, .. } => {
                last = Some(id.index);
                if !is_real_time && span.is_some_and(|span| span.is_fault_free) {
                    check_prompt(history, *id, *at - started_at, late_max)?;
                }
            }
            Observation::Disconnected { at } => {
                let sure = span.take().filter(|span| span.is_fault_free && is_own);
                is_own = false;
                let Some(Span { from, .. }) = sure else { continue };
                let meanwhile = from - started_at..(*at - started_at).saturating_sub(late_max);
                let missing =
                    history.ground_truth.required_in(stream, last.map_or(0, |it| it + 1)..u64::MAX);
                let mut missing =
                    missing.filter(|index| !gaps.iter().any(|gap| gap.contains(index)));
                let is_sent = |index| {
                    let time = history.time_of(history.ground_truth.at(stream, index)?.recorded_at);
                    meanwhile.contains(&time).then_some((index, time))
                };
                if let Some((index, time)) = missing.find_map(is_sent) {
                    return Err(format!(
                        "{index} of {stream}, recorded after {time:?}, was not received until {:?}, \
                         on a fault-free connection since {:?}",
                        *at - started_at,
                        from - started_at,
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Checks that an event arrived just after it was sent.
fn check_prompt(
    history: &History,
    id: EventId,
    at: Duration,
    late_max: Duration,
) -> Result<(), String> {
    let sent = history.sent.get(&id).map(Vec::as_slice).unwrap_or_default();
    if sent.iter().any(|sent| *sent <= at && at <= *sent + late_max) {
        return Ok(());
    }
    Err(format!(
        "{id} was received after {at:?} on a fault-free connection, but sent after {sent:?}"
    ))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rejoin_core::{
        Action, ConnectionId, Event, Head, Input, Message, Notification, Overflow, UnrelatedRouting,
    };
    use rejoin_tests::kit::Coverage;
    use rejoin_tests::laws::{Step, View};

    use super::*;

    const ALL: StreamId = StreamId::Standalone;

    /// A session with three notifications, one per second.
    fn history() -> History {
        let mut history = History::default();
        for index in 0..=3 {
            let head = Head::Notification(Notification::Other);
            let message = Message { head, body: index, bytes: 0 };
            let (id, event) = (EventId::new(ALL, index), Event::Message(index));
            let send = Action::Send { connection: ConnectionId(1), id, event };
            let is_sent = index > 0;
            let step = Step {
                now: rejoin_core::Instant::new(seconds(7 + index)),
                input: if is_sent {
                    Input::BackendMessage { message, related: None, overflow: Overflow::Hold }
                } else {
                    Input::Tick
                },
                result: Ok(()),
                actions: if is_sent { vec![send] } else { Vec::new() },
                after: View::default(),
            };
            let mut coverage = Coverage::default();
            history
                .record_step(UnrelatedRouting::Standalone, &View::default(), &step, &mut coverage)
                .unwrap();
        }
        history
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Checks a client that receives the events in `seen` on one connection, each at a time in
    /// milliseconds.
    fn seen(kind: ReaderKind, is_fault_free: bool, seen: &[(u64, u64)]) -> Result<(), String> {
        let started_at = Instant::now();
        let id = |index| Some(EventId::new(ALL, index));
        let event = |(index, millis): &(u64, u64)| Observation::Message {
            id: id(*index),
            data: Bytes::new(),
            at: started_at + Duration::from_millis(*millis),
        };
        let mut all = vec![Observation::Connected { at: started_at, is_fault_free }];
        all.extend(seen.iter().map(event));
        all.push(Observation::Disconnected { at: started_at + seconds(9) });
        let reader = StreamReader { kind, observations: all, last_event_id: None };
        check(&history(), &reader, Some(ALL), started_at, false)
    }

    #[tokio::test(start_paused = true)]
    async fn detects_missing_events() {
        let check = |kind, is_fault_free, last| {
            let events = [(1, 1_000), (2, 2_000), (3, 3_000)];
            seen(kind, is_fault_free, events.get(..last).unwrap())
        };
        assert_eq!(check(ReaderKind::Standalone, true, 3), Ok(()));
        for last in 0..3 {
            assert!(check(ReaderKind::Standalone, true, last).is_err(), "{last}");
            assert_eq!(
                check(ReaderKind::Standalone, false, last),
                Ok(()),
                "the link may have lost it"
            );
            assert_eq!(
                check(ReaderKind::Spurious(None), true, last),
                Ok(()),
                "another connection may have received it"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn detects_late_events() {
        for (at, is_fault_free, is_fine) in
            [(2_040, true, true), (2_060, true, false), (1_990, true, false), (2_060, false, true)]
        {
            let late = [(1, 1_000), (2, at), (3, 3_000)];
            assert_eq!(seen(ReaderKind::Standalone, is_fault_free, &late).is_ok(), is_fine, "{at}");
        }
    }
}
