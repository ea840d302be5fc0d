//! Races of clients that send requests, lose their connections, and resume.

use std::{future::poll_fn, task::Poll};

use rejoin_core::AnswerFormat;

use super::{
    fixture::{
        Fixture, InitializedSession, event_id, message_of, next, poll_once, remaining_messages,
        request, responses, serve, thread,
    },
    race,
};
use crate::ManagerConfig;

/// One of the two clients reads a little, disconnects, and resumes.
#[test]
fn each_request_is_answered_exactly_once() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let backend = thread(serve(client, messages));
        let stays = {
            let session = session.clone();
            thread(async move {
                let connection = session.request(request(1), AnswerFormat::Sse).await.unwrap();
                remaining_messages(connection).await
            })
        };
        let returns = {
            let session = session.clone();
            thread(async move {
                let mut connection = session.request(request(2), AnswerFormat::Sse).await.unwrap();
                let (mut messages, mut last) = (Vec::new(), None);
                let primed = next(&mut connection).await;
                let another = poll_once(next(&mut connection)).await.flatten();
                for event in [primed, another].into_iter().flatten() {
                    last = event_id(&event);
                    messages.extend(message_of(event));
                }
                drop(connection);
                messages.extend(remaining_messages(session.resume(last.unwrap()).unwrap()).await);
                messages
            })
        };
        assert_eq!(stays.join().unwrap(), responses(1));
        assert_eq!(returns.join().unwrap(), responses(2));
        session.delete().unwrap();
        let mut received = backend.join().unwrap();
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        drop(session);
        fixture.end();
    });
}

/// The old connection is read and dropped before, while and after its client resumes.
#[test]
fn a_resume_gets_everything_whatever_the_old_connection_does() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let request = session.request(request(1), AnswerFormat::Sse);
        let mut old = shuttle::future::block_on(request).unwrap();
        let primed = shuttle::future::block_on(next(&mut old)).unwrap();
        let backend = thread(serve(client, messages));
        let reads = thread(async move {
            let event = next(&mut old).await;
            let another = poll_once(next(&mut old)).await.flatten();
            event.into_iter().chain(another).filter_map(message_of).collect::<Vec<_>>()
        });
        let resumes = {
            let session = session.clone();
            thread(async move {
                remaining_messages(session.resume(event_id(&primed).unwrap()).unwrap()).await
            })
        };
        assert!(responses(1).starts_with(&reads.join().unwrap()));
        assert_eq!(resumes.join().unwrap(), responses(1));
        session.delete().unwrap();
        assert_eq!(backend.join().unwrap(), [1]);
        drop(session);
        fixture.end();
    });
}

/// The task that polled it first is not woken.
#[test]
fn a_connection_wakes_the_task_that_polled_it_last() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let request = session.request(request(1), AnswerFormat::Sse);
        let mut connection = shuttle::future::block_on(request).unwrap();
        let backend = thread(serve(client, messages));
        let polls = thread(async move {
            let (mut events, mut messages) = (Vec::new(), Vec::new());
            let drain = poll_fn(|cx| {
                // Polls until it is pending, and then not again.
                while connection.poll_events(cx, &mut events) == Poll::Ready(true) {}
                Poll::Ready(())
            });
            drain.await;
            messages.extend(events.into_iter().filter_map(message_of));
            (connection, messages)
        });
        let ends = thread(async move {
            let (connection, mut messages) = polls.join().unwrap();
            messages.extend(remaining_messages(connection).await);
            messages
        });
        assert_eq!(ends.join().unwrap(), responses(1));
        session.delete().unwrap();
        assert_eq!(backend.join().unwrap(), [1]);
        drop(session);
        fixture.end();
    });
}
