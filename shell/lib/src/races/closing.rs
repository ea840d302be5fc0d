//! Races of sessions that are closed while they are in use.

use std::time::Duration;

use rejoin_core::{AnswerFormat, Rejection, SessionCloseReason};

use super::{
    fixture::{
        Fixture, InitializedSession, message, remaining_messages, request, responses, serve, thread,
    },
    race,
};
use crate::{ManagerConfig, SendError, SessionError, clock};

/// Time after which a response is not retained any more.
const RETENTION: Duration = Duration::from_secs(61);

/// A request that was accepted gets a response, if only an error.
#[test]
fn deleting_a_session_completes_every_operation() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let backend = thread(serve(client.clone(), messages));
        let requests = {
            let session = session.clone();
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => Some(remaining_messages(connection).await),
                    Err(error) => {
                        assert_eq!(error, deleted());
                        None
                    }
                }
            })
        };
        let reads = {
            let session = session.clone();
            thread(async move {
                match session.standalone() {
                    Ok(connection) => remaining_messages(connection).await.len(),
                    Err(error) => {
                        assert_eq!(error, deleted());
                        0
                    }
                }
            })
        };
        let sends = thread(async move {
            let mut sent = 0;
            for members in [r#""method":"n""#, r#""id":"q","method":"ping""#] {
                match client.send(message(members), None).await {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error, SendError::Ended),
                }
            }
            sent
        });
        // The server request times out if it was not delivered.
        let time = thread(async { clock::advance(Duration::from_secs(10)) });
        session.delete().unwrap();
        assert_eq!(session.close_reason(), Some(SessionCloseReason::Deleted));
        let received = backend.join().unwrap();
        let answered = requests.join().unwrap();
        time.join().unwrap();
        assert!(reads.join().unwrap() <= sends.join().unwrap());
        match answered {
            Some(answered) => {
                let last = String::from_utf8(answered.last().unwrap().to_vec()).unwrap();
                let (begin, failure) = (answered.len() - 1, last.contains(r#""error""#));
                assert!(last.contains(r#""id":1"#), "{last}");
                assert!(responses(1).starts_with(&answered[..begin]));
                assert!(failure || answered == responses(1));
                assert!(received == [1] || (received.is_empty() && failure));
            }
            None => assert!(received.is_empty()),
        }
        drop(session);
        fixture.end();
    });
}

/// Only one of the two closes it.
#[test]
fn either_a_delete_or_the_idle_timeout_closes_a_session() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let time = thread(async { clock::advance(Duration::from_secs(300)) });
        let sends = thread(async move {
            let sent = client.send(message(r#""method":"n""#), None).await;
            assert!(matches!(sent, Ok(()) | Err(SendError::Ended)), "{sent:?}");
        });
        let deletes = {
            let session = session.clone();
            thread(async move { session.delete().is_ok() })
        };
        let is_deleted = deletes.join().unwrap();
        time.join().unwrap();
        sends.join().unwrap();
        fixture.wait_until_removed(&messages);
        let reason =
            if is_deleted { SessionCloseReason::Deleted } else { SessionCloseReason::Idle };
        assert_eq!(session.close_reason(), Some(reason));
        drop((session, messages));
        fixture.end();
    });
}

/// Pending requests get an error, which the session retains.
#[test]
fn dropping_the_messages_fails_pending_requests() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, messages, .. } = fixture.initialized_session();
        let drops = thread(async move { drop(messages) });
        let requests = {
            let session = session.clone();
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => assert_eq!(remaining_messages(connection).await.len(), 1),
                    Err(error) => assert_eq!(error, backend_gone()),
                }
            })
        };
        requests.join().unwrap();
        drops.join().unwrap();
        clock::advance(RETENTION);
        fixture.finish_removal();
        assert_eq!(session.close_reason(), Some(SessionCloseReason::BackendGone));
        drop(session);
        fixture.end();
    });
}

fn deleted() -> SessionError {
    SessionError::Rejected(Rejection::Closed(SessionCloseReason::Deleted))
}

fn backend_gone() -> SessionError {
    SessionError::Rejected(Rejection::Closed(SessionCloseReason::BackendGone))
}
