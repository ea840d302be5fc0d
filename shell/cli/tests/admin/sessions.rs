//! The sessions, as a list, and their end.

use http::{Method, StatusCode};
use rejoin_test_support::Client;
use serde_json::{Value, json};

use crate::Served;

impl Served {
    async fn sessions(&self) -> Value {
        self.get("/sessions").await.json().await
    }
}

#[tokio::test]
async fn sessions_are_listed_without_their_secret_ids() {
    let served = Served::start(&[]);
    assert_eq!(served.sessions().await, json!({ "count": 0, "sessions": [] }));
    let client = Client::initialize(&served.program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1_000, "interval_ms": 100 })).await;
    assert!(call.message().await.is_some());
    let list = served.sessions().await;
    assert_eq!(list["count"], 1);
    let session = &list["sessions"][0];
    assert_eq!(session["server"], "default");
    assert_eq!(session["revision"], "2025-11-25");
    assert_eq!(session["pending_requests"], 1);
    assert_eq!(session["connections"], 1);
    assert_eq!(session["principal"], Value::Null);
    assert!(session["client"].as_str().unwrap().starts_with("test"), "{session}");
    let short = session["session"].as_str().unwrap();
    assert!(!list.to_string().contains(client.session()));
    let one = served.get(&format!("/sessions/{short}")).await.json().await;
    assert_eq!(one["session"], short);
    assert_eq!(served.get("/sessions/0000000000000000").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_operator_ends_a_session_and_its_requests_fail() {
    let served = Served::start(&[]);
    let client = Client::initialize(&served.program.address).await;
    let other = Client::initialize(&served.program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1_000, "interval_ms": 100 })).await;
    assert!(call.message().await.is_some());
    let list = served.sessions().await;
    let busy = list["sessions"].as_array().unwrap().iter();
    let busy = busy.clone().find(|session| session["pending_requests"] == 1).unwrap();
    let path = format!("/sessions/{}", busy["session"].as_str().unwrap());
    let end = served.admin(Method::DELETE, &path, &served.admin).await;
    assert_eq!(end.status, StatusCode::NO_CONTENT);
    assert_eq!(call.response().await["error"]["message"], "the session was closed by the server");
    assert_eq!(client.delete().await.status, StatusCode::NOT_FOUND);
    let again = served.admin(Method::DELETE, &path, &served.admin).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert!(
        other.call(1, "echo", json!({ "message": "m" })).await.response().await["result"]
            .is_object()
    );
}

#[tokio::test]
async fn web_pages_cannot_read_or_end_sessions() {
    let served = Served::start(&[]);
    Client::initialize(&served.program.address).await;
    for host in ["evil.example", "evil.example:9464", ""] {
        let refused = served.admin(Method::GET, "/sessions", host).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{host:?}");
    }
    for site in ["cross-site", "same-site"] {
        let client = Client::new(&served.admin).with_path("/sessions");
        let refused = client.send(Method::GET, String::new(), &[("sec-fetch-site", site)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{site}");
    }
    // Prometheus and Kubernetes use names.
    assert_eq!(served.admin(Method::GET, "/metrics", "rejoin.svc").await.status, StatusCode::OK);
    assert_eq!(served.admin(Method::GET, "/readyz", "rejoin.svc").await.status, StatusCode::OK);
}
