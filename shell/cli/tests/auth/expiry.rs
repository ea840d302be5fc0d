//! Streams whose token expires.

use http::StatusCode;
use serde_json::json;

use crate::{
    issuer::Issuer,
    sessions::initialize,
    signer::{Signer, claims, now},
};

#[tokio::test]
async fn a_client_with_a_fresh_token_misses_nothing() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    let program = issuer.program(&[]);
    let mut expiring = claims(&issuer.url, "ada");
    expiring["exp"] = (now() + 6).into();
    let expiring = signer.sign(&signer.header("ed"), &expiring);
    let stale = initialize(&program.address, Some(&expiring)).await;
    let mut standalone = stale.get(&[]).await;
    let mut call = stale.call(1, "count", &json!({ "total": 100, "interval_ms": 100 })).await;
    let (mut messages, mut retry) = (Vec::new(), None);
    while let Some(item) = call.next().await {
        retry = item.retry().or(retry);
        if item.is_message() {
            messages.push(item);
        }
    }
    assert!(retry.is_some() && !messages.iter().any(rejoin_test_support::sse::Item::is_response));
    let mut retry = None;
    while let Some(item) = standalone.next().await {
        retry = item.retry().or(retry);
    }
    assert!(retry.is_some(), "the standalone stream");

    let after = call.last_event_id.unwrap();
    assert_eq!(stale.resume(&after).await.status, StatusCode::UNAUTHORIZED);
    let fresh = stale.with_token(Some(&signer.token("ed", &issuer.url, "ada")));
    let other = stale.with_token(Some(&signer.token("ed", &issuer.url, "eve")));
    assert_eq!(other.resume(&after).await.status, StatusCode::NOT_FOUND);
    messages.extend(fresh.resume(&after).await.messages().await);
    let progress: Vec<_> =
        messages.iter().filter_map(rejoin_test_support::sse::Item::progress).collect();
    assert_eq!(progress, (1..=100).collect::<Vec<_>>());
    assert_eq!(messages.len(), 101);
}
