//! Sessions that end while much goes on in them.

use std::time::Duration;

use rejoin_core::{AnswerFormat, CloseReason, Rejection};

use super::{
    race,
    world::{Begun, World, answer, message, request, rest, serve, thread},
};
use crate::{SendError, SessionError, Settings, clock};

/// Whoever is in time gets an answer, if only that there will be none.
#[test]
fn a_deleted_session_leaves_nobody_waiting() {
    race(|| {
        let world = World::begin(Settings::default());
        let Begun { session, peer, inbox } = world.initialized();
        let backend = thread(serve(peer.clone(), inbox));
        let asks = {
            let session = session.clone();
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => Some(rest(connection).await),
                    Err(error) => {
                        assert_eq!(error, ended());
                        None
                    }
                }
            })
        };
        let listens = {
            let session = session.clone();
            thread(async move {
                match session.standalone() {
                    Ok(connection) => rest(connection).await.len(),
                    Err(error) => {
                        assert_eq!(error, ended());
                        0
                    }
                }
            })
        };
        let says = thread(async move {
            let mut said = 0;
            for members in [r#""method":"n""#, r#""id":"q","method":"ping""#] {
                match peer.send(message(members), None).await {
                    Ok(()) => said += 1,
                    Err(error) => assert_eq!(error, SendError::Ended),
                }
            }
            said
        });
        // The question has waited for too long, if nobody has heard it.
        let time = thread(async { clock::advance(Duration::from_secs(10)) });
        session.delete().unwrap();
        assert_eq!(session.closed(), Some(CloseReason::Deleted));
        let heard = backend.join().unwrap();
        let answered = asks.join().unwrap();
        time.join().unwrap();
        assert!(listens.join().unwrap() <= says.join().unwrap());
        match answered {
            Some(answered) => {
                let last = String::from_utf8(answered.last().unwrap().to_vec()).unwrap();
                let (begin, failure) = (answered.len() - 1, last.contains(r#""error""#));
                assert!(last.contains(r#""id":1"#), "{last}");
                assert!(answer(1).starts_with(&answered[..begin]));
                assert!(failure || answered == answer(1));
                assert!(heard == [1] || (heard.is_empty() && failure));
            }
            None => assert!(heard.is_empty()),
        }
        drop(session);
        world.end();
    });
}

/// Both may close it, but not both do.
#[test]
fn a_session_is_deleted_or_ends_in_time() {
    race(|| {
        let world = World::begin(Settings::default());
        let Begun { session, peer, inbox } = world.initialized();
        let time = thread(async { clock::advance(Duration::from_secs(300)) });
        let says = thread(async move {
            let said = peer.send(message(r#""method":"n""#), None).await;
            assert!(matches!(said, Ok(()) | Err(SendError::Ended)), "{said:?}");
        });
        let deletes = {
            let session = session.clone();
            thread(async move { session.delete().is_ok() })
        };
        let is_deleted = deletes.join().unwrap();
        time.join().unwrap();
        says.join().unwrap();
        world.let_end(&inbox);
        let reason = if is_deleted { CloseReason::Deleted } else { CloseReason::Idle };
        assert_eq!(session.closed(), Some(reason));
        drop((session, inbox));
        world.end();
    });
}

/// What waits for its answer is told that there will be none.
#[test]
fn a_backend_that_goes_ends_what_it_was_asked() {
    race(|| {
        let world = World::begin(Settings::default());
        let Begun { session, inbox, .. } = world.initialized();
        let goes = thread(async move { drop(inbox) });
        let asks = {
            let session = session.clone();
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => assert_eq!(rest(connection).await.len(), 1),
                    Err(error) => assert_eq!(error, gone()),
                }
            })
        };
        asks.join().unwrap();
        goes.join().unwrap();
        assert_eq!(session.closed(), Some(CloseReason::BackendGone));
        drop(session);
        world.end();
    });
}

fn ended() -> SessionError {
    SessionError::Rejected(Rejection::Closed(CloseReason::Deleted))
}

fn gone() -> SessionError {
    SessionError::Rejected(Rejection::Closed(CloseReason::BackendGone))
}
