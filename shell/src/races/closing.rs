//! Sessions that end while much goes on in them.

use std::time::Duration;

use rejoin_core::{AnswerFormat, CloseReason, Rejection};

use super::{
    fixture::{
        Fixture, InitializedSession, answer, message, remaining_messages, request, serve, thread,
    },
    race,
};
use crate::{ManagerConfig, SendError, SessionError, clock};

/// Whoever is in time gets an answer, if only that there will be none.
#[test]
fn a_deleted_session_leaves_nobody_waiting() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let backend = thread(serve(client.clone(), messages));
        let asks = {
            let session = session.clone();
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => Some(remaining_messages(connection).await),
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
                    Ok(connection) => remaining_messages(connection).await.len(),
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
                match client.send(message(members), None).await {
                    Ok(()) => said += 1,
                    Err(error) => assert_eq!(error, SendError::Ended),
                }
            }
            said
        });
        // The question has waited for too long, if nobody has heard it.
        let time = thread(async { clock::advance(Duration::from_secs(10)) });
        session.delete().unwrap();
        assert_eq!(session.close_reason(), Some(CloseReason::Deleted));
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
        fixture.end();
    });
}

/// Both may close it, but not both do.
#[test]
fn a_session_is_deleted_or_ends_in_time() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let time = thread(async { clock::advance(Duration::from_secs(300)) });
        let says = thread(async move {
            let said = client.send(message(r#""method":"n""#), None).await;
            assert!(matches!(said, Ok(()) | Err(SendError::Ended)), "{said:?}");
        });
        let deletes = {
            let session = session.clone();
            thread(async move { session.delete().is_ok() })
        };
        let is_deleted = deletes.join().unwrap();
        time.join().unwrap();
        says.join().unwrap();
        fixture.wait_until_removed(&messages);
        let reason = if is_deleted { CloseReason::Deleted } else { CloseReason::Idle };
        assert_eq!(session.close_reason(), Some(reason));
        drop((session, messages));
        fixture.end();
    });
}

/// What waits for its answer is told that there will be none.
#[test]
fn a_backend_that_goes_ends_what_it_was_asked() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
        let InitializedSession { session, messages, .. } = fixture.initialized_session();
        let goes = thread(async move { drop(messages) });
        let asks = {
            let session = session.clone();
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => assert_eq!(remaining_messages(connection).await.len(), 1),
                    Err(error) => assert_eq!(error, gone()),
                }
            })
        };
        asks.join().unwrap();
        goes.join().unwrap();
        assert_eq!(session.close_reason(), Some(CloseReason::BackendGone));
        drop(session);
        fixture.end();
    });
}

fn ended() -> SessionError {
    SessionError::Rejected(Rejection::Closed(CloseReason::Deleted))
}

fn gone() -> SessionError {
    SessionError::Rejected(Rejection::Closed(CloseReason::BackendGone))
}
