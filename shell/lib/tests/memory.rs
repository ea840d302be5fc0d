//! Memory that remains allocated after sessions have expired, in paused time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{alloc::System, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use rejoin::{
    HttpConfig, ManagerConfig, ResponseBody, RmcpBackend, SessionManager, StreamableHttp,
};
use rmcp::ServerHandler;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tower_service::Service as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SESSIONS: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Returns the number of bytes that this process has allocated.
fn allocated_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

struct Service;

impl ServerHandler for Service {}

struct Server {
    sessions: SessionManager,
    service: StreamableHttp,
}

impl Server {
    fn start() -> Self {
        let mut config = ManagerConfig::default();
        config.sessions_max = SESSIONS;
        let backend = RmcpBackend::new(|| Ok(Service));
        let sessions = SessionManager::new(backend, config).unwrap();
        let service = StreamableHttp::new(sessions.clone(), HttpConfig::default()).unwrap();
        Self { sessions, service }
    }

    async fn post(&mut self, session: Option<&str>, message: &Value) -> Response<ResponseBody> {
        let mut request = Request::builder()
            .method(Method::POST)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        let body = Full::new(Bytes::from(message.to_string()));
        self.service.call(request.body(body).unwrap()).await.unwrap()
    }

    async fn initialize(&mut self) -> String {
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "0" },
        }});
        let response = self.post(None, &initialize).await;
        assert_eq!(response.status(), StatusCode::OK);
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        response.into_body().collect().await.unwrap();
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(self.post(Some(&session), &initialized).await.status(), StatusCode::ACCEPTED);
        session
    }

    /// Creates the maximum number of sessions and waits until they have expired.
    async fn create_and_expire(&mut self) {
        for _ in 0..SESSIONS {
            self.initialize().await;
        }
        assert_eq!(self.sessions.sessions(), SESSIONS);
        tokio::time::sleep(6 * MINUTE).await;
        assert_eq!(self.sessions.sessions(), 0);
        self.run_tasks().await;
    }

    /// Sends five messages that are refused, each for another reason.
    async fn send_refused(&mut self, session: &str) {
        let request = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
        let unknown = "00000000000000000000000000000000";
        for (session, message, expected) in [
            (Some(session), &request, StatusCode::BAD_REQUEST),
            (Some(session), &json!([]), StatusCode::BAD_REQUEST),
            (Some(session), &json!({ "id": 1 }), StatusCode::BAD_REQUEST),
            (None, &json!({ "jsonrpc": "2.0", "id": 1, "method": "m" }), StatusCode::BAD_REQUEST),
            (
                Some(unknown),
                &json!({ "jsonrpc": "2.0", "id": 1, "method": "m" }),
                StatusCode::NOT_FOUND,
            ),
        ] {
            let response = self.post(session, message).await;
            assert_eq!(response.status(), expected, "{message}");
            response.into_body().collect().await.unwrap();
        }
    }

    /// Waits until all tasks are idle: in paused time, `sleep` returns only then.
    async fn run_tasks(&self) {
        tokio::time::sleep(MINUTE).await;
    }
}

/// A single test, because the allocator counts for the whole process.
#[tokio::test(start_paused = true)]
async fn expired_sessions_and_refused_requests_free_all_memory() {
    let mut server = Server::start();
    // One-time allocations and the capacity of maps and queues remain.
    server.create_and_expire().await;
    let before = allocated_bytes();
    server.create_and_expire().await;
    let left = allocated_bytes().saturating_sub(before);
    assert!(left < SESSIONS, "{SESSIONS} sessions left {left} bytes");

    let session = server.initialize().await;
    server.send_refused(&session).await;
    let before = allocated_bytes();
    for _ in 0..2_000 {
        server.send_refused(&session).await;
    }
    let left = allocated_bytes().saturating_sub(before);
    assert!(left < 2_000, "10,000 refusals left {left} bytes");
}
