//! Backends whose handler runs in the task that sends the message.

use std::{future::poll_fn, sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use rejoin::{
    Backend, ClientMessages, ClientSender, ManagerConfig, OpenError, SessionError, SessionManager,
};
use rejoin_core::{AnswerFormat, Rejection, SessionCloseReason};

use crate::support::{message, post};

/// Responds synchronously and counts messages.
struct Echo {
    received: Arc<AtomicUsize>,
}

impl Backend for Echo {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        let count = Arc::clone(&self.received);
        messages.handle(move |body| {
            count.fetch_add(1, Ordering::Relaxed);
            let received: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_ne!(received["method"], "panic");
            if received["id"].is_number() {
                let id = &received["id"];
                let result = r#"{"protocolVersion":"2025-11-25"}"#;
                let response = message(&format!(r#""id":{id},"result":{result}"#));
                client.send(response, None).result().unwrap();
            }
        });
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn handler_responds_synchronously_and_is_dropped_with_its_session() {
    let count = Arc::new(AtomicUsize::new(0));
    let backend = Echo { received: Arc::clone(&count) };
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let initialize = post(r#""id":0,"method":"initialize""#);
    let (session, mut response) =
        sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
    let mut events = Vec::new();
    assert!(!poll_fn(|cx| response.poll_events(cx, &mut events)).await);
    assert_eq!(events.len(), 1);
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert!(!poll_fn(|cx| connection.poll_events(cx, &mut events)).await);
    assert_eq!((events.len(), count.load(Ordering::Relaxed)), (3, 2));
    assert_eq!(Arc::strong_count(&count), 3);
    session.delete().unwrap();
    assert_eq!(session.close_reason(), Some(SessionCloseReason::Deleted));
    assert_eq!(Arc::strong_count(&count), 2, "the handler is dropped with its session");
}

#[tokio::test]
async fn panic_in_a_handler_ends_only_its_session() {
    let backend = Echo { received: Arc::default() };
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let initialize = || post(r#""id":0,"method":"initialize""#);
    let (broken, _broken) =
        sessions.initialize_session(initialize(), AnswerFormat::Sse).await.unwrap();
    let (other, _other) =
        sessions.initialize_session(initialize(), AnswerFormat::Sse).await.unwrap();
    let handle = broken.clone();
    let panicked =
        tokio::spawn(async move { handle.notify(post(r#""method":"panic""#)).await }).await;
    assert!(panicked.unwrap_err().is_panic());
    let gone = Rejection::Closed(SessionCloseReason::BackendGone);
    assert_eq!(broken.standalone().unwrap_err(), SessionError::Rejected(gone));
    assert!(other.standalone().is_ok());
}
