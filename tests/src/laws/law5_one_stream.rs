//! Every message handed to the core goes on one stream only, at one index, on one
//! connection at a time, and never on another session's; and one of the client to the backend only once.

use std::collections::BTreeMap;

use rejoin_core::{Action, Event, Input, StreamId};

use super::readers::{Sent, SentEvent};
use super::{Step, posted, request_id};

/// Where each message of the backend is; `None` before it was seen anywhere.
pub(super) type Locations = BTreeMap<u64, Option<Location>>;

/// A place: a stream, or `None` for the connection of `initialize`, and an index.
type Location = (Option<StreamId>, u64);

/// Checks where messages went in a step.
pub(super) fn check(places: &mut Locations, step: &Step, sent: &[Sent]) -> Result<(), String> {
    check_forwarded(step)?;
    if let (Input::BackendMessage { message, .. }, Ok(_)) = (&step.input, &step.result) {
        places.insert(message.body, None);
        for log in &step.after.logs {
            if let Some(Event::Message(body)) = &log.newest {
                put(places, *body, (Some(log.stream), log.last))?;
            }
        }
    }
    for Sent { connection, stream, event, also_on, .. } in sent {
        let Some(SentEvent { index, event, id_stream: named }) = event else {
            continue;
        };
        if named.is_some() && named != stream {
            return Err(format!("connection {connection} of {stream:?} gets {index} of {named:?}"));
        }
        if let (Event::Message(_) | Event::Failure(_), Some(other)) = (event, also_on) {
            return Err(format!("{event:?} is on connection {connection}, and on {other}"));
        }
        if let Event::Message(body) = event {
            put(places, *body, (*stream, *index))?;
        }
    }
    Ok(())
}

fn put(places: &mut Locations, body: u64, place: Location) -> Result<(), String> {
    match places.get_mut(&body) {
        None => Err(format!("message {body} at {place:?} never came from the backend")),
        Some(Some(other)) if *other != place => {
            Err(format!("message {body} is at {other:?}, and at {place:?}"))
        }
        Some(known) => {
            *known = Some(place);
            Ok(())
        }
    }
}

/// Checks that the messages of an accepted POST went to the backend at most once
/// each, in order, and its requests at least once.
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
            return Err(format!("the request {message:?} was not forwarded in its turn"));
        }
    }
    match next {
        Some(body) => Err(format!("message {body} was forwarded, which it should not be")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, EndReason, EventId, Failure, FailureReason};

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

    fn see(steps: &[Step]) -> Result<(), String> {
        let mut places = Locations::new();
        let mut readers = Readers::default();
        steps.iter().try_for_each(|step| {
            let sent = readers.follow(&View::default(), step);
            check(&mut places, step, &sent)
        })
    }

    #[test]
    fn a_message_in_two_places_is_seen() {
        let told = step(backend(notification(), 7));
        let one = StreamId::Request(0);
        let two = StreamId::Standalone;
        let event = Event::Message(7);
        let first = get(1, one, vec![send(1, one, 1, event.clone())]);
        let reason = EndReason::Replaced;
        let replaced = Action::Close { connection: ConnectionId(1), reason };
        let again = get(2, one, vec![replaced, send(2, one, 1, event.clone())]);
        let later = get(2, one, vec![send(2, one, 2, event.clone())]);
        let elsewhere = get(2, two, vec![send(2, two, 1, event)]);
        assert!(see(&[told.clone(), first.clone(), again]).is_ok());
        assert!(see(&[told.clone(), first.clone(), later]).is_err());
        assert!(see(&[told, first.clone(), elsewhere]).is_err());
        assert!(see(&[first]).is_err(), "nobody sent it");
    }

    #[test]
    fn a_message_on_two_connections_is_seen() {
        let told = step(backend(notification(), 7));
        let stream = StreamId::Standalone;
        let first = get(1, stream, vec![send(1, stream, 1, Event::Message(7))]);
        let again = send(2, stream, 1, Event::Message(7));
        let discard = Action::Discard { connection: ConnectionId(1) };
        let kept = get(2, stream, vec![again.clone()]);
        let discarded = get(2, stream, vec![discard, again]);
        assert!(see(&[told.clone(), first.clone(), discarded]).is_ok());
        assert!(see(&[told, first, kept]).is_err());
    }

    #[test]
    fn a_failure_beside_the_response_is_seen() {
        let told = step(backend(notification(), 7));
        let stream = StreamId::Request(0);
        let first = get(1, stream, vec![send(1, stream, 1, Event::Message(7))]);
        let failure = Failure { id: 1.into(), reason: FailureReason::Expired };
        let again = send(2, stream, 1, Event::Failure(failure));
        let reason = EndReason::Replaced;
        let replaced = Action::Close { connection: ConnectionId(1), reason };
        let alone = get(2, stream, vec![replaced, again.clone()]);
        let beside = get(2, stream, vec![again]);
        assert!(see(&[told.clone(), first.clone(), alone]).is_ok());
        assert!(see(&[told, first, beside]).is_err());
    }

    #[test]
    fn an_event_of_another_stream_is_seen() {
        let told = step(backend(notification(), 7));
        let stray = send(1, StreamId::Standalone, 1, Event::Message(7));
        assert!(see(&[told, get(1, StreamId::Request(0), vec![stray])]).is_err());
    }

    #[test]
    fn a_request_that_is_not_forwarded_once_is_seen() {
        let forward = Action::Forward { message: 5 };
        let mut request = step(post(1, 1, 5));
        assert!(see(&[request.clone()]).is_err());
        request.actions = vec![forward.clone()];
        assert!(see(&[request.clone()]).is_ok());
        request.actions = vec![forward.clone(), forward];
        assert!(see(&[request]).is_err());
    }
}
