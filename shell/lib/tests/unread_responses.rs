//! Memory for responses that their client does not read, in paused time.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    alloc::System,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use rejoin::{
    Backend, ClientMessages, ClientSender, HttpConfig, ManagerConfig, OpenError, ResponseBody,
    SessionManager, StreamableHttp,
};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tower_service::Service as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 1_024;
const RESPONSE_BYTES: usize = 256 << 10;
const HOUR: Duration = Duration::from_secs(3_600);
/// What is allocated for the requests and their connections, and while a response is sent.
const OVERHEAD_BYTES: usize = REQUESTS * (4 << 10) + 2 * RESPONSE_BYTES;

/// Returns the number of bytes that this process has allocated.
fn allocated_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Answers `tools/call` with a large result, once all of them have arrived, and other requests at
/// once. Like a process with one pipe, it waits until one response was sent before the next.
#[derive(Default)]
struct LargeResponses {
    /// Notified when a response has to wait for room.
    waits: Notify,
    /// Notified when all are sent.
    has_sent_all: Notify,
    /// The most that was allocated when a response was sent.
    peak_bytes: AtomicUsize,
}

#[derive(Clone, Default)]
struct TestBackend(Arc<LargeResponses>);

impl Backend for TestBackend {
    async fn open(
        &self,
        client: ClientSender,
        mut messages: ClientMessages,
    ) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut calls = Vec::new();
            while let Some(message) = messages.recv().await {
                let message: Value = serde_json::from_slice(&message).unwrap();
                match message["method"].as_str() {
                    Some("tools/call") => calls.push(message["id"].clone()),
                    Some("notifications/initialized") => {}
                    _ => client.send(response(&message["id"], 0), None).await.unwrap(),
                }
                if calls.len() == REQUESTS {
                    for id in std::mem::take(&mut calls) {
                        shared.respond(&client, &id).await;
                    }
                    shared.has_sent_all.notify_one();
                }
            }
        });
        Ok(())
    }
}

impl LargeResponses {
    async fn respond(&self, client: &ClientSender, id: &Value) {
        let mut sent = client.send(response(id, RESPONSE_BYTES), None);
        self.peak_bytes.fetch_max(allocated_bytes(), Ordering::Relaxed);
        if timeout(Duration::ZERO, &mut sent).await.is_err() {
            self.waits.notify_one();
            sent.await.unwrap();
        }
    }
}

/// Returns a response with white space, in memory of its own size.
fn response(id: &Value, bytes: usize) -> Box<[u8]> {
    let result = json!({ "protocolVersion": "2025-11-25" });
    let response = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    [response.to_string(), " ".repeat(bytes)].concat().into_bytes().into_boxed_slice()
}

struct Client {
    service: StreamableHttp,
    session: Option<String>,
}

impl Client {
    async fn initialized(service: &StreamableHttp) -> Self {
        let mut client = Self { service: service.clone(), session: None };
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "0" },
        }});
        let response = client.post(&initialize).await;
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        response.into_body().collect().await.unwrap();
        client.session = Some(session);
        client
    }

    async fn post(&mut self, message: &Value) -> Response<ResponseBody> {
        let mut request = Request::builder()
            .method(Method::POST)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let body = Full::new(Bytes::from(message.to_string()));
        let response = self.service.call(request.body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }

    async fn request(&mut self, id: usize, method: &str) -> Response<ResponseBody> {
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": method })).await
    }
}

/// A single test, because the allocator counts for the whole process.
#[tokio::test(start_paused = true)]
async fn unread_responses_stay_within_the_memory_of_their_session() {
    let backend = TestBackend::default();
    let shared = Arc::clone(&backend.0);
    let config = ManagerConfig::default();
    let session_bytes_max = config.session.session_bytes_max;
    let sessions = SessionManager::new(backend, config).unwrap();
    let service = StreamableHttp::new(sessions, HttpConfig::default()).unwrap();
    let mut client = Client::initialized(&service).await;
    let mut other = Client::initialized(&service).await;

    let before = allocated_bytes();
    let mut unread = Vec::new();
    for id in 1..=REQUESTS {
        unread.push(client.request(id, "tools/call").await);
    }
    timeout(HOUR, shared.waits.notified()).await.unwrap();
    let start = Instant::now();
    let response = other.request(1, "ping").await.into_body().collect().await.unwrap();
    assert!(!response.to_bytes().is_empty());
    assert!(start.elapsed().is_zero(), "{:?} for a request of another session", start.elapsed());

    timeout(HOUR, shared.has_sent_all.notified()).await.unwrap();
    let peak = shared.peak_bytes.load(Ordering::Relaxed) - before;
    let max = session_bytes_max + OVERHEAD_BYTES;
    assert!(peak <= max, "{peak} bytes for responses that are not read, more than {max}");
}
