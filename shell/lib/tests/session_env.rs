//! Environment variables of a child from the HTTP request that opened its session, and the principal
//! that its session belongs to.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{ffi::OsString, fs, path::Path};

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::Response,
};
use rejoin::{
    HttpConfig, ManagerConfig, Principal, SessionManager, StdioBackend, StdioConfig, StreamableHttp,
};
use rejoin_test_support::{
    Client, HttpResponse, LATEST_REVISION, initialize,
    processes::wait_until,
    script::{PRELUDE, with_prelude},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// Answers with the variable and its process id.
const ANSWER: &str = r#"while receive; do respond "{\"user\":\"$SESSION_USER\",\"pid\":$$}"; done"#;

struct Server {
    sessions: SessionManager,
    backend: StdioBackend,
    address: String,
    listener: JoinHandle<()>,
}

impl Server {
    /// Starts a server whose children run a script, with the user of the session as a variable.
    async fn start(script: &str, directory: &Path) -> Self {
        let mut config = StdioConfig::new("/bin/sh");
        config.args = vec!["-c".into(), script.into()];
        config.working_dir = Some(directory.to_owned());
        config.env.insert("SESSION_USER".into(), Some("nobody".into()));
        let backend = StdioBackend::with_request_env(config, |request| {
            let user = request.and_then(|request| request.headers.get("x-user"));
            let user = user.ok_or("the user is missing")?;
            Ok(vec![("SESSION_USER".into(), OsString::from(user.to_str()?))])
        });
        let backend = backend.unwrap();
        let sessions = SessionManager::new(backend.clone(), ManagerConfig::default()).unwrap();
        let service = StreamableHttp::new(sessions.clone(), HttpConfig::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = Router::new().route_service("/mcp", service);
        let routes = routes.layer(middleware::from_fn(insert_principal));
        let listener = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { sessions, backend, address, listener }
    }

    async fn initialize(&self, user: &str) -> Client {
        self.session(&[("x-user", user)]).await
    }

    async fn session(&self, headers: &[(&'static str, &str)]) -> Client {
        let response = open(&self.address, headers).await;
        assert_eq!(response.status, StatusCode::OK);
        let id = response.headers["mcp-session-id"].to_str().unwrap();
        Client::new(&self.address).with_session(id)
    }

    /// Waits until no process is left.
    async fn end(self) {
        self.sessions.close_all();
        self.backend.ended().await;
        self.listener.abort();
    }
}

async fn open(address: &str, headers: &[(&'static str, &str)]) -> HttpResponse {
    let message = initialize(LATEST_REVISION, &json!({})).to_string();
    Client::new(address).send(Method::POST, message, headers).await
}

/// Makes a request in a session that was opened with headers.
async fn answer(client: &Client, headers: &[(&'static str, &str)]) -> Value {
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let response = client.send(Method::POST, initialized.to_string(), headers).await;
    assert_eq!(response.status, StatusCode::ACCEPTED);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "any" });
    let mut response = client.send(Method::POST, request.to_string(), headers).await;
    response.response().await["result"].take()
}

/// Takes the principal of a request from a header, as a layer that authenticates it would.
async fn insert_principal(mut request: Request, next: Next) -> Response {
    if let Some(subject) = request.headers().get("x-principal") {
        let principal = Principal::new("issuer", subject.to_str().unwrap());
        request.extensions_mut().insert(principal);
    }
    next.run(request).await
}

#[tokio::test]
async fn each_session_has_the_environment_of_its_request() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&with_prelude(ANSWER), directory.path()).await;
    let (first, second) = (server.initialize("first").await, server.initialize("second").await);
    assert_eq!(answer(&first, &[]).await["user"], "first");
    assert_eq!(answer(&second, &[]).await["user"], "second");
    server.end().await;
}

#[tokio::test]
async fn session_whose_environment_is_refused_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&with_prelude(ANSWER), directory.path()).await;
    let mut response = open(&server.address, &[]).await;
    assert_eq!(response.status, StatusCode::BAD_GATEWAY);
    let message = response.json().await["error"]["message"].to_string();
    assert!(message.contains("the user is missing"), "{message}");
    assert_eq!(server.sessions.sessions(), 0);
    server.end().await;
}

#[tokio::test]
async fn parked_child_only_serves_a_session_with_its_environment() {
    let [first, second] = [[("x-user", "first")], [("x-user", "second")]];
    check_parked(&first, &second, ["first", "second"]).await;
}

#[tokio::test]
async fn parked_child_only_serves_a_session_of_its_principal() {
    let user = ("x-user", "same");
    let [first, second] = [[user, ("x-principal", "first")], [user, ("x-principal", "second")]];
    check_parked(&first, &second, ["same", "same"]).await;
    check_parked(&first, &[user], ["same", "same"]).await;
}

/// Checks that the child of a client that has left does not serve a second client, but a third one
/// that is like the first.
async fn check_parked(
    first: &[(&'static str, &'static str)],
    second: &[(&'static str, &'static str)],
    [first_user, second_user]: [&str; 2],
) {
    let directory = tempfile::tempdir().unwrap();
    let (started, gate) = (directory.path().join("started"), directory.path().join("gate"));
    // A child that has received `initialize` does not respond before the gate exists.
    let wait = "echo $$ >> started; while ! [ -e gate ]; do sleep 0.02; done";
    let (functions, handshake) = PRELUDE.split_once("\nreceive\n").unwrap();
    let script = format!("{functions}\nreceive\n{wait}\n{handshake}\n{ANSWER}");
    let server = Server::start(&script, directory.path()).await;
    let children = || -> Vec<i64> {
        let pids = fs::read_to_string(&started).unwrap_or_default();
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    };

    let (address, headers) = (server.address.clone(), first.to_vec());
    let leaves = tokio::spawn(async move { open(&address, &headers).await });
    wait_until(|| children().len() == 1).await;
    leaves.abort();
    wait_until(|| server.sessions.sessions() == 0).await;

    let check = async {
        let (of_second, of_first) = tokio::join!(server.session(second), server.session(first));
        let (of_second, of_first) =
            (answer(&of_second, second).await, answer(&of_first, first).await);
        let children = children();
        assert_eq!(children.len(), 2);
        assert_eq!(of_second, json!({ "user": second_user, "pid": children.last() }));
        assert_eq!(of_first, json!({ "user": first_user, "pid": children.first() }));
    };
    let open_gate = async {
        // The session of the other user does not get the parked child.
        wait_until(|| children().len() == 2).await;
        fs::write(&gate, "").unwrap();
    };
    tokio::join!(check, open_gate);
    server.end().await;
}
