//! Sessions of principals, for clients that have credentials.

use http::{Method, StatusCode};
use rejoin_test_support::{Client, HttpResponse};
use serde_json::{Value, json};

use crate::{issuer::Issuer, keys::serve, signer::Signer};

pub(crate) const ADA: &str = "0123456789abcdef-ada";
pub(crate) const BOB: &str = "0123456789abcdef-bob";

/// A client that sends a bearer token with every request.
#[derive(Clone)]
pub(crate) struct Authenticated {
    pub(crate) client: Client,
    authorization: Option<String>,
}

impl Authenticated {
    pub(crate) fn with_token(&self, token: Option<&str>) -> Self {
        Self { client: self.client.clone(), authorization: token.map(authorization) }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        body: String,
        extra: &[(&'static str, &str)],
    ) -> HttpResponse {
        let authorization =
            self.authorization.as_ref().map(|value| ("authorization", value.as_str()));
        let headers: Vec<_> = extra.iter().copied().chain(authorization).collect();
        self.client.send(method, body, &headers).await
    }

    pub(crate) async fn get(&self, extra: &[(&'static str, &str)]) -> HttpResponse {
        self.send(Method::GET, String::new(), extra).await
    }

    pub(crate) async fn resume(&self, after: &str) -> HttpResponse {
        self.get(&[("last-event-id", after)]).await
    }

    pub(crate) async fn post(&self, message: &Value) -> HttpResponse {
        self.send(Method::POST, message.to_string(), &[]).await
    }

    pub(crate) async fn call(&self, id: i64, tool: &str, arguments: &Value) -> HttpResponse {
        let params = json!({
            "name": tool, "arguments": arguments, "_meta": { "progressToken": id },
        });
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
            .await
    }
}

fn authorization(token: &str) -> String {
    format!("Bearer {token}")
}

/// Opens a session with a token.
pub(crate) async fn initialize(address: &str, token: Option<&str>) -> Authenticated {
    let client = Client::new(address);
    let new = Authenticated { client: client.clone(), authorization: token.map(authorization) };
    let mut response = new.post(&rejoin_test_support::initialize("2025-11-25", &json!({}))).await;
    assert_eq!(response.status, StatusCode::OK);
    let session = response.headers["mcp-session-id"].to_str().unwrap().to_owned();
    response.response().await;
    let authenticated = Authenticated { client: client.with_session(&session), ..new };
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(authenticated.post(&initialized).await.status, StatusCode::ACCEPTED);
    authenticated
}

/// Every request that a client can make in a session.
fn requests() -> Vec<(Method, Value, Option<&'static str>)> {
    let ping = json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" });
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    vec![
        (Method::POST, ping, None),
        (Method::POST, notification, None),
        (Method::POST, response, None),
        (Method::GET, json!(""), None),
        (Method::GET, json!(""), Some("0")),
        (Method::GET, json!(""), Some("0/0")),
        (Method::DELETE, json!(""), None),
    ]
}

async fn assert_foreign(owner: &Authenticated, other: &Authenticated, status: StatusCode) {
    let mut call = owner.call(1, "count", &json!({ "total": 3, "interval_ms": 200 })).await;
    assert!(call.next().await.is_some());
    for (method, body, after) in requests() {
        let extra = after.map(|id| ("last-event-id", id));
        let response = other.send(method.clone(), body.to_string(), extra.as_slice()).await;
        assert_eq!(response.status, status, "{method} {body} {after:?}");
    }
    assert_eq!(call.messages().await.len(), 4, "its stream was not taken over");
}

#[tokio::test]
async fn a_session_is_invisible_to_other_keys() {
    let (program, _file) = serve(&[]);
    let ada = initialize(&program.address, Some(ADA)).await;
    assert_foreign(&ada, &ada.with_token(Some(BOB)), StatusCode::NOT_FOUND).await;
    assert_foreign(&ada, &ada.with_token(None), StatusCode::UNAUTHORIZED).await;
    assert_foreign(&ada, &ada.with_token(Some("x")), StatusCode::UNAUTHORIZED).await;
    let initialize = rejoin_test_support::initialize("2025-11-25", &json!({}));
    let other = ada.with_token(Some(BOB)).post(&initialize).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_ne!(other.headers["mcp-session-id"], ada.client.session());
    assert_eq!(ada.send(Method::DELETE, String::new(), &[]).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_session_belongs_to_the_subject_and_not_to_the_token() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed"), Signer::p256().jwk("p256")]).await;
    let program = issuer.program(&[]);
    let ada = initialize(&program.address, Some(&signer.token("ed", &issuer.url, "ada"))).await;
    let eve = signer.token("ed", &issuer.url, "eve");
    assert_foreign(&ada, &ada.with_token(Some(&eve)), StatusCode::NOT_FOUND).await;
    // A fresh token of the same subject, even with another key, keeps the session.
    let fresh = Signer::p256().token("p256", &issuer.url, "ada");
    let mut call = ada.with_token(Some(&fresh)).call(2, "echo", &json!({ "message": "a" })).await;
    assert_eq!(call.status, StatusCode::OK);
    assert_eq!(call.response().await["id"], 2);
}

#[tokio::test]
async fn sessions_of_a_key_and_of_a_subject_differ() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(vec![signer.jwk("ed")]).await;
    let file = crate::keys::file(&crate::keys::line("ada", ADA));
    let program = issuer.program(&["--auth-keys", file.path().to_str().unwrap()]);
    let by_key = initialize(&program.address, Some(ADA)).await;
    let token = signer.token("ed", &issuer.url, "ada");
    assert_foreign(&by_key, &by_key.with_token(Some(&token)), StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn sessions_and_requests_of_a_principal_are_limited() {
    let (program, _file) = serve(&["--max-sessions-per-principal", "1"]);
    let _ada = initialize(&program.address, Some(ADA)).await;
    let _bob = initialize(&program.address, Some(BOB)).await;
    let new = Authenticated {
        client: Client::new(&program.address),
        authorization: Some(authorization(ADA)),
    };
    let message = rejoin_test_support::initialize("2025-11-25", &json!({}));
    let refused = new.post(&message).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "10");

    let (program, _file) = serve(&["--max-requests-per-second", "1"]);
    let ada = Authenticated { client: Client::new(&program.address), ..new };
    let (mut limited, mut accepted) = (0, 0);
    for _ in 0..5 {
        let response = ada.get(&[]).await;
        match response.status {
            StatusCode::TOO_MANY_REQUESTS => {
                assert_eq!(response.headers["retry-after"], "1");
                limited += 1;
            }
            status => {
                assert_eq!(status, StatusCode::BAD_REQUEST, "no session");
                accepted += 1;
            }
        }
    }
    assert!(limited > 0 && accepted > 0, "{limited} {accepted}");
    let bob = ada.with_token(Some(BOB)).get(&[]).await;
    assert_eq!(bob.status, StatusCode::BAD_REQUEST);
}
