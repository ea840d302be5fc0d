//! Times: what is recorded comes to a client that reads, and comes at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use rejoin_core::{EventId, StreamId};
use tokio::time::Instant;

use super::history::History;
use crate::visit::{Kind, Reading, Seen};

/// How long it takes in virtual time until a client has what is sent to it: as long as a link
/// may take to reach the server, by which the two count from different beginnings.
const LATE_MAX: Duration = Duration::from_millis(50);
/// How long it takes in real time, where everybody may have to wait for a busy machine.
const LATE_MAX_THERE: Duration = Duration::from_secs(3);

/// A client on one of its connections.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    is_sound: bool,
}

/// Checks when a client whose session `began` for it then saw what stands on a stream.
///
/// On a sound connection it comes when it is sent. Whoever has the stream for itself has also
/// seen, when it reads no more, what was said in the meantime, or was told that it is missing.
pub(super) fn check(
    history: &History,
    reading: &Reading,
    stream: Option<StreamId>,
    began: Instant,
    is_there: bool,
) -> Result<(), String> {
    let Some(stream) = stream else { return Ok(()) };
    let late_max = if is_there { LATE_MAX_THERE } else { LATE_MAX };
    let mut gaps: Vec<&RangeInclusive<u64>> = Vec::new();
    let mut last = None;
    let mut span = None;
    // Others may get what a stray, or one that does not come back after what it saw, does not.
    let mut is_own = !matches!(reading.kind, Kind::Stray(_));
    for seen in &reading.seen {
        match seen {
            Seen::Resumed => is_own = true,
            Seen::Doubted => is_own = false,
            Seen::Began { at, is_sound } => span = Some(Span { from: *at, is_sound: *is_sound }),
            Seen::Gap(missed) => gaps.push(missed),
            Seen::Priming { id, .. } => last = id.map(|id| id.index).or(last),
            Seen::Message { id: None, .. } => {}
            Seen::Message { id: Some(id), at, .. } => {
                last = Some(id.index);
                if !is_there && span.is_some_and(|span| span.is_sound) {
                    check_prompt(history, *id, *at - began, late_max)?;
                }
            }
            Seen::Ended { at } => {
                let sure = span.take().filter(|span| span.is_sound && is_own);
                is_own = false;
                let Some(Span { from, .. }) = sure else { continue };
                let meanwhile = from - began..(*at - began).saturating_sub(late_max);
                let missing = history.truth.within(stream, last.map_or(0, |it| it + 1)..u64::MAX);
                let mut missing =
                    missing.filter(|index| !gaps.iter().any(|gap| gap.contains(index)));
                let said = |index| {
                    let time = history.time_of(history.truth.at(stream, index)?.said_at);
                    meanwhile.contains(&time).then_some((index, time))
                };
                if let Some((index, time)) = missing.find_map(said) {
                    return Err(format!(
                        "{index} of {stream}, said after {time:?}, never came until {:?}, \
                         on a sound connection since {:?}",
                        *at - began,
                        from - began,
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Checks that what came then had just been sent.
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
    Err(format!("{id} came after {at:?}, on a sound connection, but was sent after {sent:?}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rejoin_core::{
        Action, Backpressure, ConnectionId, Event, Head, Input, Message, Notification,
        UnrelatedRouting,
    };
    use rejoin_tests::laws::{Step, View};
    use rejoin_tests::world::Tally;

    use super::*;

    const ALL: StreamId = StreamId::Standalone;

    /// A session that says something after each second, three times.
    fn history() -> History {
        let mut history = History::default();
        for index in 0..=3 {
            let head = Head::Notification(Notification::Other);
            let message = Message { head, body: index, bytes: 0 };
            let (id, event) = (Some(EventId::new(ALL, index)), Event::Message(index));
            let send = Action::Send { connection: ConnectionId(1), index, id, event };
            let said = index > 0;
            let step = Step {
                now: rejoin_core::Instant::new(seconds(7 + index)),
                input: if said {
                    Input::BackendMessage { message, related: None }
                } else {
                    Input::Tick
                },
                result: Ok(Backpressure::None),
                actions: if said { vec![send] } else { Vec::new() },
                replays: Vec::new(),
                after: View::default(),
            };
            let mut tally = Tally::default();
            history
                .note(UnrelatedRouting::Standalone, &View::default(), &step, &mut tally)
                .unwrap();
        }
        history
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Checks a client that has a connection and sees `seen` on it, each after so long, in
    /// milliseconds.
    fn seen(kind: Kind, is_sound: bool, seen: &[(u64, u64)]) -> Result<(), String> {
        let began = Instant::now();
        let id = |index| Some(EventId::new(ALL, index));
        let event = |(index, millis): &(u64, u64)| Seen::Message {
            id: id(*index),
            data: Bytes::new(),
            at: began + Duration::from_millis(*millis),
        };
        let mut all = vec![Seen::Began { at: began, is_sound }];
        all.extend(seen.iter().map(event));
        all.push(Seen::Ended { at: began + seconds(9) });
        let reading = Reading { kind, seen: all, last: None };
        check(&history(), &reading, Some(ALL), began, false)
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_seen() {
        let check = |kind, is_sound, last| {
            let events = [(1, 1_000), (2, 2_000), (3, 3_000)];
            seen(kind, is_sound, events.get(..last).unwrap())
        };
        assert_eq!(check(Kind::Standalone, true, 3), Ok(()));
        for last in 0..3 {
            assert!(check(Kind::Standalone, true, last).is_err(), "{last}");
            assert_eq!(check(Kind::Standalone, false, last), Ok(()), "the link may have lost it");
            assert_eq!(check(Kind::Stray(None), true, last), Ok(()), "another may have got it");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_seen() {
        for (at, is_sound, is_fine) in
            [(2_040, true, true), (2_060, true, false), (1_990, true, false), (2_060, false, true)]
        {
            let late = [(1, 1_000), (2, at), (3, 3_000)];
            assert_eq!(seen(Kind::Standalone, is_sound, &late).is_ok(), is_fine, "{at}");
        }
    }
}
