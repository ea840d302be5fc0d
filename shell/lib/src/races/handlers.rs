//! Races of handlers, which run in the thread that queues a message.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use rejoin_core::{AnswerFormat, SessionCloseReason};

use super::{
    fixture::{
        Fixture, InitializedSession, remaining_messages, request, request_id, responses, thread,
    },
    race,
};
use crate::{ClientMessages, ClientSender, ManagerConfig, SessionHandle};

/// Messages arrive while the handler is set, and it responds from within.
#[test]
fn a_handler_gets_each_message_once_in_order_without_overlap() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let received = Arc::new(Mutex::new(Vec::new()));
        let handles = {
            let received = Arc::clone(&received);
            thread(async move { handle(messages, client, received) })
        };
        let clients = [[1, 2], [3, 4]].map(|ids| thread(send_requests(session.clone(), ids)));
        for client in clients {
            assert_eq!(client.join().unwrap(), 2);
        }
        handles.join().unwrap();
        session.delete().unwrap();
        drop(session);
        // The handler was dropped, and its clone of `received` with it.
        let received = Arc::into_inner(received).unwrap().into_inner().unwrap();
        let of = |ids: [u32; 2]| received.iter().copied().filter(move |id| ids.contains(id));
        assert_eq!(of([1, 2]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(of([3, 4]).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(received.len(), 4);
        fixture.end();
    });
}

/// The session is deleted while the handler is set, called, or about to respond.
#[test]
fn a_handler_is_dropped_with_its_session() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let received = Arc::new(Mutex::new(Vec::new()));
        let handles = {
            let received = Arc::clone(&received);
            thread(async move { handle(messages, client, received) })
        };
        let client = thread(send_requests(session.clone(), [1, 2]));
        session.delete().unwrap();
        let answered = client.join().unwrap();
        handles.join().unwrap();
        assert_eq!(session.close_reason(), Some(SessionCloseReason::Deleted));
        drop(session);
        let received = Arc::into_inner(received).unwrap().into_inner().unwrap();
        assert!([1, 2].starts_with(&received));
        assert!(answered <= received.len());
        fixture.end();
    });
}

/// Handles messages by responding from within, and records the ids of requests.
fn handle(messages: ClientMessages, client: ClientSender, received: Arc<Mutex<Vec<u32>>>) {
    let is_called = AtomicBool::new(false);
    messages.handle(move |message| {
        assert!(!is_called.swap(true, Ordering::Relaxed));
        if let Some(id) = request_id(&message) {
            received.lock().unwrap().push(id);
            for message in responses(id) {
                // An error means that the session has ended.
                drop(client.send(message, None));
            }
        }
        is_called.store(false, Ordering::Relaxed);
    });
}

/// Sends two requests, and returns how many were answered before the session ended.
async fn send_requests(session: SessionHandle, ids: [u32; 2]) -> usize {
    let mut connections = Vec::new();
    for id in ids {
        connections.extend(session.request(request(id), AnswerFormat::Sse).await);
    }
    let mut answered = 0;
    for (connection, id) in connections.into_iter().zip(ids) {
        answered += usize::from(remaining_messages(connection).await == responses(id));
    }
    answered
}
