//! The keys of the issuer: how they are found, their rotation, and an outage.

use std::time::Duration;

use rejoin_test_support::Program;
use tokio::time::{sleep, timeout};

use crate::{
    issuer::Issuer,
    raw::{self, bearer},
    signer::Signer,
};

/// Waits until a condition holds, which depends on the next fetch of the keys.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
}

#[tokio::test]
async fn keys_rotate_without_a_restart_and_outlive_an_outage() {
    let (old, new) = (Signer::ed25519(), Signer::p256());
    let issuer = Issuer::start(vec![old.jwk("old")]).await;
    let program = issuer.program(&[]);
    let status = async |token: &str| {
        raw::get(&program.address, "/mcp", &[bearer(token).as_bytes()]).await.status
    };
    let (by_old, by_new) =
        (old.token("old", &issuer.url, "ada"), new.token("new", &issuer.url, "ada"));
    let unknown = new.token("unknown", &issuer.url, "ada");
    assert_eq!(status(&by_old).await, 404);
    assert_eq!(status(&by_new).await, 401);
    issuer.set_keys(vec![old.jwk("old"), new.jwk("new")]);
    until(async || status(&by_new).await == 404).await;
    assert_eq!(status(&by_old).await, 404);
    issuer.set_keys(vec![new.jwk("new")]);
    until(async || {
        assert_eq!(status(&unknown).await, 401, "fetches the keys");
        status(&by_old).await == 401
    })
    .await;
    assert_eq!(status(&by_new).await, 404);
    issuer.set_down(true);
    let fetches = issuer.requests().len();
    until(async || {
        assert_eq!(status(&unknown).await, 401);
        issuer.requests().len() > fetches
    })
    .await;
    assert_eq!(status(&by_new).await, 404, "the keys stay valid");
    // Nothing else was asked.
    let mut requests = issuer.requests();
    requests.sort_unstable();
    requests.dedup();
    assert!(requests.iter().all(|path| path.contains("/tenant")), "{requests:?}");
}

#[tokio::test]
async fn without_keys_clients_are_told_to_retry() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    issuer.set_down(true);
    let program = issuer.program(&[]);
    let token = bearer(&signer.token("ed", &issuer.url, "ada"));
    let refused = raw::get(&program.address, "/mcp", &[token.as_bytes()]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
    assert_eq!(refused.header("www-authenticate"), None);
    let missing = raw::get(&program.address, "/mcp", &[]).await;
    assert_eq!(missing.status, 401, "does not depend on the keys");
    issuer.set_down(false);
    let status = async || raw::get(&program.address, "/mcp", &[token.as_bytes()]).await.status;
    until(async || status().await == 404).await;
}

#[tokio::test]
async fn unknown_keys_are_not_fetched_for_every_request() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    let interval = ["--auth-jwks-interval", "1h"];
    let program = Program::serve(&issuer.options().into_iter().chain(interval).collect::<Vec<_>>());
    let known = bearer(&signer.token("ed", &issuer.url, "ada"));
    assert_eq!(raw::get(&program.address, "/mcp", &[known.as_bytes()]).await.status, 404);
    let unknown = bearer(&signer.token("unknown", &issuer.url, "ada"));
    for _ in 0..20 {
        assert_eq!(raw::get(&program.address, "/mcp", &[unknown.as_bytes()]).await.status, 401);
    }
    let fetched = issuer.requests().iter().filter(|path| path.ends_with("/keys")).count();
    assert_eq!(fetched, 1);
}

#[tokio::test]
async fn the_url_of_the_keys_can_be_given() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    let program = issuer.program(&["--auth-jwks-url", &format!("{}/keys", issuer.url)]);
    let token = bearer(&signer.token("ed", &issuer.url, "ada"));
    assert_eq!(raw::get(&program.address, "/mcp", &[token.as_bytes()]).await.status, 404);
    assert!(issuer.requests().iter().all(|path| path == "/tenant/keys"));
}

/// Returns the status of a request with a valid token.
async fn status_with(issuer: &Issuer, signer: &Signer) -> u16 {
    let program = issuer.program(&[]);
    let token = bearer(&signer.token("ed", &issuer.url, "ada"));
    raw::get(&program.address, "/mcp", &[token.as_bytes()]).await.status
}

#[tokio::test]
async fn only_the_metadata_of_the_issuer_itself_is_used() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    issuer.set_metadata_path("/tenant/.well-known/openid-configuration");
    assert_eq!(status_with(&issuer, &signer).await, 404);
    issuer.set_name("https://evil.example");
    assert_eq!(status_with(&issuer, &signer).await, 503);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    issuer.redirect();
    assert_eq!(status_with(&issuer, &signer).await, 503);
    assert!(!issuer.requests().iter().any(|path| path == "/tenant/moved"));
}
