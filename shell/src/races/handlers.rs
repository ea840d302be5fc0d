//! Handlers, which are called by whoever brings a message.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use rejoin_core::{AnswerFormat, CloseReason};

use super::{
    fixture::{
        Fixture, InitializedSession, answer, remaining_messages, request, request_id, thread,
    },
    race,
};
use crate::{ClientMessages, ClientSender, ManagerConfig, SessionHandle};

/// They come while it is put in place, and it answers from within.
#[test]
fn a_handler_gets_every_message_once_in_order_and_one_at_a_time() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let handles = {
            let heard = Arc::clone(&heard);
            thread(async move { handle(messages, client, heard) })
        };
        let clients = [[1, 2], [3, 4]].map(|ids| thread(ask(session.clone(), ids)));
        for client in clients {
            assert_eq!(client.join().unwrap(), 2);
        }
        handles.join().unwrap();
        session.delete().unwrap();
        drop(session);
        // The handler is gone, too, and what it had.
        let heard = Arc::into_inner(heard).unwrap().into_inner().unwrap();
        let of = |ids: [u32; 2]| heard.iter().copied().filter(move |id| ids.contains(id));
        assert_eq!(of([1, 2]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(of([3, 4]).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(heard.len(), 4);
        fixture.end();
    });
}

/// It may be called, or put in place, or be about to answer.
#[test]
fn a_handler_goes_with_its_session() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let handles = {
            let heard = Arc::clone(&heard);
            thread(async move { handle(messages, client, heard) })
        };
        let client = thread(ask(session.clone(), [1, 2]));
        session.delete().unwrap();
        let answered = client.join().unwrap();
        handles.join().unwrap();
        assert_eq!(session.close_reason(), Some(CloseReason::Deleted));
        drop(session);
        let heard = Arc::into_inner(heard).unwrap().into_inner().unwrap();
        assert!([1, 2].starts_with(&heard));
        assert!(answered <= heard.len());
        fixture.end();
    });
}

/// Answers from within, and keeps what it heard.
fn handle(messages: ClientMessages, client: ClientSender, heard: Arc<Mutex<Vec<u32>>>) {
    let is_called = AtomicBool::new(false);
    messages.handle(move |message| {
        assert!(!is_called.swap(true, Ordering::Relaxed));
        if let Some(id) = request_id(&message) {
            heard.lock().unwrap().push(id);
            for message in answer(id) {
                // An error says that the session has ended.
                let _ = client.send_now(message, None);
            }
        }
        is_called.store(false, Ordering::Relaxed);
    });
}

/// Asks one after the other, and returns how many were answered until the session ended.
async fn ask(session: SessionHandle, ids: [u32; 2]) -> usize {
    let mut connections = Vec::new();
    for id in ids {
        connections.extend(session.request(request(id), AnswerFormat::Sse).await);
    }
    let mut answered = 0;
    for (connection, id) in connections.into_iter().zip(ids) {
        answered += usize::from(remaining_messages(connection).await == answer(id));
    }
    answered
}
