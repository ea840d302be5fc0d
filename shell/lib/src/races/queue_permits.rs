//! Races of permits for the queue of a backend.

use std::time::Duration;

use rejoin_core::AnswerFormat;

use super::{
    fixture::{
        Fixture, InitializedSession, message, poll_once, post, remaining_messages, request,
        request_id, responses, thread,
    },
    race,
};
use crate::{ClientMessages, ClientSender, ManagerConfig, SessionError, clock};

const QUEUE_MAX: usize = 2;

/// Requests are rejected, dropped, or time out.
#[test]
fn unused_permits_are_returned_exactly_once() {
    race(|| {
        let mut config = ManagerConfig { queue_max: QUEUE_MAX, ..ManagerConfig::default() };
        config.session.batch_max = 1;
        let fixture = Fixture::new(config);
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let backend = thread(serve_until_stopped(client, messages));
        let twins = [session.clone(), session.clone()].map(|session| {
            thread(async move {
                match session.request(request(1), AnswerFormat::Sse).await {
                    Ok(connection) => {
                        assert_eq!(remaining_messages(connection).await, responses(1));
                    }
                    // The id is in use, or there was no permit in time.
                    Err(error) => {
                        assert!(matches!(
                            error,
                            SessionError::Rejected(_) | SessionError::QueueFull
                        ));
                    }
                }
            })
        });
        let drops = {
            let session = session.clone();
            thread(async move {
                match poll_once(session.request(request(2), AnswerFormat::Sse)).await {
                    Some(Ok(connection)) => {
                        assert_eq!(remaining_messages(connection).await, responses(2));
                    }
                    Some(Err(error)) => assert_eq!(error, SessionError::QueueFull),
                    None => {}
                }
            })
        };
        let time = thread(async { clock::advance(Duration::from_secs(5)) });
        for thread in twins.into_iter().chain([drops, time]) {
            thread.join().unwrap();
        }
        shuttle::future::block_on(session.notify(post(r#""method":"stop""#))).unwrap();
        let messages = backend.join().unwrap();
        shuttle::future::block_on(async {
            for _ in 0..QUEUE_MAX {
                let result = poll_once(session.notify(post(r#""method":"n""#))).await;
                assert_eq!(result, Some(Ok(())));
            }
            assert_eq!(poll_once(session.notify(post(r#""method":"n""#))).await, None);
        });
        session.delete().unwrap();
        drop((session, messages));
        fixture.end();
    });
}

/// Answers requests until it receives `stop`.
async fn serve_until_stopped(client: ClientSender, mut messages: ClientMessages) -> ClientMessages {
    loop {
        let received = messages.recv().await.unwrap();
        if *received == *message(r#""method":"stop""#) {
            return messages;
        }
        for message in request_id(&received).into_iter().flat_map(responses) {
            client.send(message, None).await.unwrap();
        }
    }
}
