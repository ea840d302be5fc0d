//! Clients with certificates: whose their sessions are, and for how long.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rejoin_test_support::{HttpResponse, certificates::Identity};
use tokio::{io::AsyncReadExt as _, time::timeout};
use tokio_rustls::rustls::HandshakeKind;

use super::fixture::{Request, Served, count, get, initialization, read_progress};

#[tokio::test]
async fn a_session_belongs_to_the_subject_of_a_certificate() {
    let served = Served::start_for_known_clients();
    let (alice, bob) = (served.ca.issue("alice"), served.ca.issue("bob"));
    let opened = send_as(&served, &alice, initialization(&served.client())).await;
    let id = opened.headers["mcp-session-id"].to_str().unwrap().to_owned();
    drop(opened);
    let client = served.client().with_session(&id);
    let renewed = served.ca.issue("alice");
    for (identity, status) in [(&bob, 404), (&alice, 200), (&renewed, 200)] {
        let response = send_as(&served, identity, get(&client, None)).await;
        assert_eq!(response.status, status);
    }
}

async fn send_as(served: &Served, identity: &Identity, request: Request) -> HttpResponse {
    let stream = served.connect("http/1.1", Some(identity)).await.unwrap();
    HttpResponse::receive(stream, request).await.unwrap()
}

#[tokio::test]
async fn streams_are_closed_when_the_certificate_expires_and_resumed_with_a_new_one() {
    let served = Served::start_for_known_clients();
    let alice = served.ca.issue("alice");
    let opened = send_as(&served, &alice, initialization(&served.client())).await;
    let client = served.client().with_session(opened.headers["mcp-session-id"].to_str().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a certificate has a time of day")]
    let expired_at = SystemTime::now() + Duration::from_secs(6);
    let expiring = served.ca.issue_with("alice", |params| params.not_after = expired_at.into());
    let mut idle = served.connect("http/1.1", Some(&expiring)).await.unwrap();
    let mut call = send_as(&served, &expiring, count(&client, 1, 200, 100)).await;
    let (seen, has_ended) = read_progress(&mut call, 0, None).await;
    assert!(seen > 0 && !has_ended, "{seen}");
    let last = call.last_event_id.clone().unwrap();
    let mut resumed = send_as(&served, &served.ca.issue("alice"), get(&client, Some(&last))).await;
    assert_eq!(read_progress(&mut resumed, seen, None).await, (200, true));
    let mut byte = [0];
    let read = timeout(Duration::from_secs(20), idle.read(&mut byte)).await.unwrap();
    assert_eq!(read.unwrap(), 0, "the connection is closed");
}

#[tokio::test]
async fn a_certificate_is_verified_by_every_connection() {
    let with = Served::start_for_known_clients();
    let alice = with.ca.issue("alice");
    assert_eq!(second_handshake(&with, Some(&alice)).await, HandshakeKind::Full);
    let without = Served::start(&[]);
    assert_eq!(second_handshake(&without, None).await, HandshakeKind::Resumed);
}

/// Returns how a client has connected that could resume the TLS session of a connection before.
async fn second_handshake(served: &Served, identity: Option<&Identity>) -> HandshakeKind {
    let config = Arc::new(served.client_config("http/1.1", identity));
    let stream = served.connect_with(Arc::clone(&config)).await.unwrap();
    let first = HttpResponse::receive(stream, initialization(&served.client())).await;
    assert_eq!(first.unwrap().status, 200);
    let stream = served.connect_with(config).await.unwrap();
    stream.get_ref().1.handshake_kind().unwrap()
}
