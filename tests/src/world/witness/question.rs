//! Questions: a request of the backend that nobody can see any more does not wait.

use std::collections::BTreeMap;

use rejoin_core::{RequestId, StreamId};

use super::truth::Truth;
use crate::laws::View;

/// Checks that a request of the backend that still waits was taken, or may yet be.
pub(in crate::world) fn check_question(
    truth: &Truth,
    view: &View,
    taken: &BTreeMap<StreamId, u64>,
    asked: &RequestId,
) -> Result<(), String> {
    let Some((stream, index)) = truth.place_of(asked) else {
        return Ok(());
    };
    let is_taken = taken.get(&stream).is_some_and(|taken| *taken >= index);
    if is_taken || view.log(stream).is_some() || view.closed.is_some() {
        return Ok(());
    }
    Err(format!("request {asked} of the backend waits, though {stream} is gone"))
}

#[cfg(test)]
mod tests {
    use rejoin_core::{
        Action, ConnectionId, Event, EventId, Head, Input, Instant, Message, Method, Pressure,
        Unrelated,
    };

    use super::*;
    use crate::laws::{LogView, Step};

    const STREAM: StreamId = StreamId::Request(3);

    #[test]
    fn a_question_that_waits_for_nothing_is_seen() {
        let id: RequestId = 7.into();
        let head = Head::Request { id: id.clone(), method: Method::Other, progress_token: None };
        let asks = Step {
            now: Instant::EPOCH,
            input: Input::Backend {
                message: Message { head, body: 5, bytes: 0 },
                related: Some(1.into()),
            },
            result: Ok(Pressure::None),
            actions: vec![Action::Send {
                connection: ConnectionId(1),
                index: 2,
                id: Some(EventId::new(STREAM, 2)),
                event: Event::Message(5),
            }],
            replays: Vec::new(),
            after: View::default(),
        };
        let log = LogView { stream: STREAM, last: 2, missed: 0, events: 1, bytes: 0, newest: None };
        let kept = View { logs: vec![log], requests: vec![(1.into(), STREAM)], ..View::default() };
        let mut truth = Truth::default();
        truth.note(Unrelated::Standalone, &kept, &asks).unwrap();
        let check = |view: &View, taken: u64| {
            check_question(&truth, view, &BTreeMap::from([(STREAM, taken)]), &id).is_ok()
        };
        assert!(check(&kept, 0) && check(&View::default(), 2));
        assert!(!check(&View::default(), 1));
    }
}
