//! Law 5: every message of the backend is on one stream only, at one index, and on one
//! connection at a time; every message of the client is forwarded once at most.

use std::collections::BTreeMap;

use rejoin_core::{Action, Event, Input, StreamId};

use super::readers::{Sent, SentEvent};
use super::{Step, posted, request_id};

/// The location of each message of the backend; `None` until it was seen.
pub(super) type Locations = BTreeMap<u64, Option<Location>>;

/// A stream (`None` for the connection of `initialize`) and an index.
type Location = (Option<StreamId>, u64);

/// Checks the locations of the messages that a step sent or recorded.
pub(super) fn check(locations: &mut Locations, step: &Step, sent: &[Sent]) -> Result<(), String> {
    check_forwarded(step)?;
    if let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) {
        locations.insert(message.body, None);
        for log in &step.after.logs {
            if let Some(Event::Message(body)) = &log.newest {
                locate(locations, *body, (Some(log.stream), log.last))?;
            }
        }
    }
    for Sent { connection, stream, event, also_on, .. } in sent {
        let Some(SentEvent { index, event, id_stream: named }) = event else {
            continue;
        };
        if named.is_some() && named != stream {
            return Err(format!(
                "connection {connection} of {stream:?} was sent {index} of {named:?}"
            ));
        }
        if let (Event::Message(_) | Event::Failure(_), Some(other)) = (event, also_on) {
            return Err(format!("{event:?} is on connections {connection} and {other} at once"));
        }
        if let Event::Message(body) = event {
            locate(locations, *body, (*stream, *index))?;
        }
    }
    Ok(())
}

fn locate(locations: &mut Locations, body: u64, location: Location) -> Result<(), String> {
    match locations.get_mut(&body) {
        None => Err(format!("message {body} at {location:?} did not come from the backend")),
        Some(Some(other)) if *other != location => {
            Err(format!("message {body} is at {other:?} and at {location:?}"))
        }
        Some(known) => {
            *known = Some(location);
            Ok(())
        }
    }
}

/// Checks that the messages of an accepted POST were forwarded in order, once at most,
/// and its requests exactly once.
fn check_forwarded(step: &Step) -> Result<(), String> {
    let mut forwarded = step.actions.iter().filter_map(|action| {
        let Action::Forward { message } = action else {
            return None;
        };
        Some(*message)
    });
    let mut next = forwarded.next();
    let accepted = if step.result.is_ok() { posted(&step.input) } else { &[] };
    for message in accepted {
        if next == Some(message.body) {
            next = forwarded.next();
        } else if request_id(&message.head).is_some() && step.after.closed.is_none() {
            return Err(format!("the request {message:?} was not forwarded in order"));
        }
    }
    match next {
        Some(body) => Err(format!("message {body} was forwarded unexpectedly")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, CutReason, EventId, Failure, FailureReason};

    use super::super::View;
    use super::super::fixtures::{backend, notification, post, send, step};
    use super::super::readers::Readers;
    use super::*;

    fn get(connection: u64, stream: StreamId, actions: Vec<Action<u64>>) -> Step {
        let last_event_id = Some(EventId::new(stream, 0));
        let mut get = step(Input::Get { connection: ConnectionId(connection), last_event_id });
        get.actions = actions;
        get
    }

    fn run(steps: &[Step]) -> Result<(), String> {
        let mut locations = Locations::new();
        let mut readers = Readers::default();
        steps.iter().try_for_each(|step| {
            let sent = readers.follow(&View::default(), step);
            check(&mut locations, step, &sent)
        })
    }

    #[test]
    fn a_message_at_two_locations_is_detected() {
        let notified = step(backend(notification(), 7));
        let one = StreamId::Request(0);
        let two = StreamId::Standalone;
        let event = Event::Message(7);
        let first = get(1, one, vec![send(1, one, 1, event.clone())]);
        let reason = CutReason::Replaced;
        let replaced = Action::Cut { connection: ConnectionId(1), reason };
        let again = get(2, one, vec![replaced, send(2, one, 1, event.clone())]);
        let later = get(2, one, vec![send(2, one, 2, event.clone())]);
        let elsewhere = get(2, two, vec![send(2, two, 1, event)]);
        assert!(run(&[notified.clone(), first.clone(), again]).is_ok());
        assert!(run(&[notified.clone(), first.clone(), later]).is_err());
        assert!(run(&[notified, first.clone(), elsewhere]).is_err());
        assert!(run(&[first]).is_err(), "the backend did not send it");
    }

    #[test]
    fn a_message_on_two_connections_is_detected() {
        let notified = step(backend(notification(), 7));
        let stream = StreamId::Standalone;
        let first = get(1, stream, vec![send(1, stream, 1, Event::Message(7))]);
        let again = send(2, stream, 1, Event::Message(7));
        let discard = Action::Discard { connection: ConnectionId(1) };
        let kept = get(2, stream, vec![again.clone()]);
        let discarded = get(2, stream, vec![discard, again]);
        assert!(run(&[notified.clone(), first.clone(), discarded]).is_ok());
        assert!(run(&[notified, first, kept]).is_err());
    }

    #[test]
    fn a_failure_beside_the_response_is_detected() {
        let notified = step(backend(notification(), 7));
        let stream = StreamId::Request(0);
        let first = get(1, stream, vec![send(1, stream, 1, Event::Message(7))]);
        let failure = Failure { id: 1.into(), reason: FailureReason::Expired };
        let again = send(2, stream, 1, Event::Failure(failure));
        let reason = CutReason::Replaced;
        let replaced = Action::Cut { connection: ConnectionId(1), reason };
        let alone = get(2, stream, vec![replaced, again.clone()]);
        let beside = get(2, stream, vec![again]);
        assert!(run(&[notified.clone(), first.clone(), alone]).is_ok());
        assert!(run(&[notified, first, beside]).is_err());
    }

    #[test]
    fn an_event_of_another_stream_is_detected() {
        let notified = step(backend(notification(), 7));
        let stray = send(1, StreamId::Standalone, 1, Event::Message(7));
        assert!(run(&[notified, get(1, StreamId::Request(0), vec![stray])]).is_err());
    }

    #[test]
    fn a_request_not_forwarded_exactly_once_is_detected() {
        let forward = Action::Forward { message: 5 };
        let mut request = step(post(1, 1, 5));
        assert!(run(&[request.clone()]).is_err());
        request.actions = vec![forward.clone()];
        assert!(run(&[request.clone()]).is_ok());
        request.actions = vec![forward.clone(), forward];
        assert!(run(&[request]).is_err());
    }
}
