//! Room in the queue to a backend.

use std::time::Duration;

use rejoin_core::{AnswerFormat, Config};

use super::{
    race,
    world::{Begun, World, answer, at_once, id_of, message, post, request, rest, thread},
};
use crate::{ClientMessages, Peer, SessionError, Settings, clock};

const QUEUE_MAX: usize = 2;

/// By whoever does not use it: who is rejected, gives up, or waits for too long.
#[test]
fn room_is_given_back_exactly_once() {
    race(|| {
        let session = Config { batch_max: 1, ..Config::default() };
        let settings = Settings { session, queue_max: QUEUE_MAX, ..Settings::default() };
        let world = World::begin(settings);
        let Begun { session, peer, inbox } = world.initialized();
        let backend = thread(serve_until_told(peer, inbox));
        let twins = [session.clone(), session.clone()].map(|session| {
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => assert_eq!(rest(connection).await, answer(1)),
                    // The id is in use, or nothing was heard for too long.
                    Err(error) => {
                        assert!(matches!(error, SessionError::Rejected(_) | SessionError::Busy));
                    }
                }
            })
        });
        let gives_up = {
            let session = session.clone();
            thread(async move {
                match at_once(session.request(request(2), AnswerFormat::Sse)).await {
                    Some(Ok(connection)) => assert_eq!(rest(connection).await, answer(2)),
                    Some(Err(error)) => assert_eq!(error, SessionError::Busy),
                    None => {}
                }
            })
        };
        let time = thread(async { clock::advance(Duration::from_secs(5)) });
        for thread in twins.into_iter().chain([gives_up, time]) {
            thread.join().unwrap();
        }
        shuttle::future::block_on(session.message(post(r#""method":"stop""#))).unwrap();
        let inbox = backend.join().unwrap();
        shuttle::future::block_on(async {
            for _ in 0..QUEUE_MAX {
                let said = at_once(session.message(post(r#""method":"n""#))).await;
                assert_eq!(said, Some(Ok(())));
            }
            assert_eq!(at_once(session.message(post(r#""method":"n""#))).await, None);
        });
        session.delete().unwrap();
        drop((session, inbox));
        world.end();
    });
}

/// Answers requests until it hears that it is to stop.
async fn serve_until_told(peer: Peer, mut inbox: ClientMessages) -> ClientMessages {
    loop {
        let heard = inbox.recv().await.unwrap();
        if heard == message(r#""method":"stop""#) {
            return inbox;
        }
        for message in id_of(&heard).into_iter().flat_map(answer) {
            peer.send(message, None).await.unwrap();
        }
    }
}
