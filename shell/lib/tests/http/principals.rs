//! Sessions that belong to a principal.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header, request::Parts};
use rejoin::{Authenticate, HttpConfig, ManagerConfig, Principal, StreamableHttp};
use rejoin_test_support::{Client, HttpResponse, initialize};
use serde_json::{Value, json};

use crate::{
    server::{HttpServer, SUBJECT},
    support::{BackendSession, Server},
};

const ADA: (&str, &str) = (SUBJECT, "ada");
const BOB: (&str, &str) = (SUBJECT, "bob");

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const NOTIFICATION: &str = r#"{"jsonrpc":"2.0","method":"notifications/a"}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

type Subject = Option<(&'static str, &'static str)>;

/// Opens a session, and returns the client of it and its backend.
async fn open(server: &HttpServer, subject: Subject) -> (Client, BackendSession) {
    let client = Client::new(&server.address);
    let body = initialize("2025-11-25", &json!({})).to_string();
    let request = client.send(Method::POST, body, subject.as_slice());
    let respond = async {
        let mut backend = server.manager.opened().await;
        backend.receive().await;
        backend.send(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
        backend
    };
    let (response, backend) = tokio::join!(request, respond);
    assert_eq!(response.status, StatusCode::OK);
    let session = response.headers["mcp-session-id"].to_str().unwrap();
    (client.with_session(session), backend)
}

/// What a client can see of a response.
async fn seen(mut response: HttpResponse) -> (StatusCode, Vec<(String, String)>, Value) {
    let headers = response.headers.iter().filter(|(name, _)| *name != header::DATE);
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.collect();
    (response.status, headers, response.json().await)
}

/// Every request that a client can make in a session.
fn requests() -> Vec<(Method, &'static str, Subject)> {
    let resume = |id| Some(("last-event-id", id));
    vec![
        (Method::POST, PING, None),
        (Method::POST, NOTIFICATION, None),
        (Method::POST, RESPONSE, None),
        (Method::POST, PING, Some(("mcp-protocol-version", "1.0"))),
        (Method::GET, "", None),
        (Method::GET, "", resume("0")),
        (Method::GET, "", resume("0/0")),
        (Method::GET, "", resume("7/0")),
        (Method::DELETE, "", None),
    ]
}

#[tokio::test]
async fn a_session_of_another_principal_is_unknown() {
    let server = HttpServer::start().await;
    let unknown = Client::new(&server.address).with_session("0123456789abcdef0123456789abcdef");
    for (owner, other) in
        [(Some(ADA), Some(BOB)), (Some(ADA), None), (None, Some(ADA))] as [(Subject, Subject); 3]
    {
        let (client, mut backend) = open(&server, owner).await;
        let call = json!({ "jsonrpc": "2.0", "id": 0, "method": "a" }).to_string();
        let mut call = client.send(Method::POST, call, owner.as_slice()).await;
        assert_eq!(call.next().await.unwrap().id().as_deref(), Some("0/0"));
        backend.receive().await;
        for (method, body, extra) in requests() {
            let extra: Vec<_> = extra.into_iter().chain(other).collect();
            let foreign = client.send(method.clone(), body.to_owned(), &extra).await;
            let expected = unknown.send(method.clone(), body.to_owned(), &extra).await;
            assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{method} {body} {extra:?}");
            let (foreign, expected) = (seen(foreign).await, seen(expected).await);
            assert_eq!(foreign, expected, "{method} {body} {extra:?}");
        }
        // None of these requests was passed on, or has taken over the stream.
        backend.send(r#""id":0,"result":{}"#).await;
        assert_eq!(call.response().await["id"], 0);
        let notify = client.send(Method::POST, NOTIFICATION.to_owned(), owner.as_slice()).await;
        assert_eq!(notify.status, StatusCode::ACCEPTED);
        assert_eq!(backend.receive().await, NOTIFICATION);
        let deleted = client.send(Method::DELETE, String::new(), owner.as_slice()).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn initialize_with_a_foreign_session_opens_another_one() {
    let server = HttpServer::start().await;
    let (client, _backend) = open(&server, Some(ADA)).await;
    let body = initialize("2025-11-25", &json!({})).to_string();
    let own = client.send(Method::POST, body.clone(), &[ADA]).await;
    assert_eq!(own.status, StatusCode::BAD_REQUEST, "the session is already initialized");
    let request = client.send(Method::POST, body, &[BOB]);
    let respond = async {
        let mut backend = server.manager.opened().await;
        backend.receive().await;
        backend.send(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
        backend
    };
    let (response, _backend) = tokio::join!(request, respond);
    assert_eq!(response.status, StatusCode::OK);
    assert_ne!(response.headers["mcp-session-id"], client.session());
    let id = response.headers["mcp-session-id"].to_str().unwrap().parse().unwrap();
    let session = server.manager.sessions.session(id).unwrap();
    assert_eq!(session.principal(), Some(&Principal::new("issuer", "bob")));
}

#[tokio::test]
async fn a_large_message_for_a_foreign_session_is_limited_as_without_a_session() {
    let server = HttpServer::start().await;
    let (client, _backend) = open(&server, Some(ADA)).await;
    let unknown = client.with_session("0123456789abcdef0123456789abcdef");
    let large = format!(r#"{{"jsonrpc":"2.0","method":"n","params":"{}"}}"#, "x".repeat(100_000));
    let foreign = client.send(Method::POST, large.clone(), &[BOB]).await;
    let expected = unknown.send(Method::POST, large, &[BOB]).await;
    assert_eq!(seen(foreign).await, seen(expected).await);
}

#[tokio::test]
async fn sessions_of_a_principal_are_limited() {
    let mut config = ManagerConfig::default();
    config.sessions_per_principal_max = Some(1);
    let server = HttpServer::start_with(config, HttpConfig::default()).await;
    let (client, _backend) = open(&server, Some(ADA)).await;
    let (_, _other_backend) = open(&server, Some(BOB)).await;
    let new_client = Client::new(&server.address);
    let body = initialize("2025-11-25", &json!({})).to_string();
    let refused = new_client.send(Method::POST, body, &[ADA]).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "10");
    client.send(Method::DELETE, String::new(), &[ADA]).await;
    open(&server, Some(ADA)).await;
}

/// Authenticates a request by a header, and counts requests for foreign sessions.
struct ByHeader(Arc<AtomicUsize>);

impl Authenticate for ByHeader {
    async fn authenticate(&self, head: &mut Parts) -> Result<(), Response<Bytes>> {
        if let Some(user) = head.headers.remove("x-user") {
            head.extensions.insert(Principal::new("header", user.to_str().unwrap()));
            return Ok(());
        }
        let response = Response::builder().status(StatusCode::UNAUTHORIZED);
        Err(response.header("www-authenticate", "Header").body("no user".into()).unwrap())
    }

    fn on_foreign_session(&self, _: &Parts) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn authentication_comes_after_the_host_and_before_the_session() {
    let manager = Server::start();
    let foreign = Arc::new(AtomicUsize::new(0));
    let authentication = ByHeader(Arc::clone(&foreign));
    let service = StreamableHttp::authenticated(
        manager.sessions.clone(),
        HttpConfig::default(),
        authentication,
    );
    let server = HttpServer::serve(manager, service.unwrap()).await;
    let unknown = Client::new(&server.address).with_session("0123456789abcdef0123456789abcdef");
    let user = ("x-user", "ada");
    let origin = ("origin", "http://localhost:5173");
    let get = async |extra: &[_]| unknown.send(Method::GET, String::new(), extra).await;
    assert_eq!(get(&[("host", "evil.example")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(get(&[("origin", "http://evil.example")]).await.status, StatusCode::FORBIDDEN);
    let mut denied = get(&[origin]).await;
    assert_eq!(denied.status, StatusCode::UNAUTHORIZED);
    assert_eq!(denied.headers["www-authenticate"], "Header");
    assert_eq!(denied.headers["access-control-allow-origin"], origin.1);
    let exposed = denied.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
    assert_eq!(denied.chunk().await.unwrap().unwrap(), "no user");
    assert_eq!(get(&[user]).await.status, StatusCode::NOT_FOUND);
    let preflight = unknown.send(Method::OPTIONS, String::new(), &[origin]).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(foreign.load(Ordering::Relaxed), 0);

    let (session, client) = server.session().await;
    assert_eq!(session.principal(), None);
    let own = client.send(Method::DELETE, String::new(), &[user]).await;
    assert_eq!(own.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.load(Ordering::Relaxed), 1);
}
