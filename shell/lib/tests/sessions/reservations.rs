//! Reservation of streams.

use std::time::Duration;

use rejoin::{ManagerConfig, SessionError};
use rejoin_core::{AnswerFormat, ApiMisuse};

use crate::support::{Server, next, post};

#[tokio::test(start_paused = true)]
async fn reserve_before_the_initialize_response_is_rejected() {
    let server = Server::start();
    let session = server.sessions.create_session().await.unwrap();
    let rejected = SessionError::Rejected(ApiMisuse::NotInitialized.into());
    assert_eq!(session.reserve().unwrap_err(), rejected);
    assert_eq!(server.sessions.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn expired_or_foreign_reservation_is_rejected() {
    let server = Server::start();
    let session = server.initialized().await;
    let call = || post(r#""id":1,"method":"a""#);
    // Both streams have the same number, each in its own session.
    let foreign = server.initialized().await.reserve().unwrap();
    let mut reserved = session.reserve().unwrap();
    let refused = session.request_on(&foreign, call(), AnswerFormat::Sse).await;
    assert_eq!(refused, Err(SessionError::NotReserved));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let refused = session.request_on(&reserved, call(), AnswerFormat::Sse).await;
    assert_eq!(refused, Err(SessionError::NotReserved));
    assert_eq!(next(&mut reserved).await, None);
    let refused = session.request_on(&reserved, call(), AnswerFormat::Sse).await;
    assert_eq!(refused, Err(SessionError::NotReserved));
}

#[tokio::test(start_paused = true)]
async fn deadline_earlier_than_all_armed_ones_is_kept() {
    let server = Server::with(ManagerConfig { unused_timeout: None, ..ManagerConfig::default() });
    let session = server.initialized().await;
    // The next deadline is the idle timeout, or later.
    tokio::time::sleep(Duration::from_secs(61)).await;
    let mut reserved = session.reserve().unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let next = tokio::time::timeout(Duration::from_secs(1), next(&mut reserved)).await;
    assert_eq!(next, Ok(None));
}
