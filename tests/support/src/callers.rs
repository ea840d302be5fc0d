//! Clients that call while the program restarts, and the record of what was executed.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{Client, HttpResponse, LATEST_REVISION, Program, initialize, script};

/// The calls that servers have executed, in a file to which all of them append.
#[derive(Debug)]
pub struct CallRecord {
    directory: TempDir,
}

/// Clients that make one call after the other until they are stopped, each in a session of its own.
/// A call that was refused is made again, in a new session.
#[derive(Debug)]
pub struct Callers {
    clients: JoinSet<Vec<String>>,
    seen: Arc<Seen>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
struct Seen {
    is_over: AtomicBool,
    answered: AtomicUsize,
    refused: AtomicUsize,
    unreachable: AtomicUsize,
    sessions: AtomicUsize,
}

/// A server that appends each call to a file, and takes as long as the call says to answer it.
const RECORDS: &str = r#"while receive; do
    call=${line#*'"call":"'}
    seconds=${line#*'"seconds":"'}
    printf '%s\n' "${call%%\"*}" >> "$CALLS"
    sleep "${seconds%%\"*}"
    respond '{"content":[]}'
done"#;

/// How soon a client tries again to begin a session.
const RETRY: Duration = Duration::from_millis(20);

/// Maximum time for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

impl CallRecord {
    /// Creates an empty record.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it creates a directory")]
    pub fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    /// Starts the program with a server that records its calls.
    #[must_use]
    pub fn serve(&self, options: &[&str]) -> Program {
        let calls = format!("CALLS={}", self.file().display());
        script::serve(&[&["--env", &calls], options].concat(), RECORDS)
    }

    /// Checks that each call that was executed has one response, and was executed once.
    pub fn check(&self, mut answered: Vec<String>) {
        let executed = fs::read_to_string(self.file()).unwrap();
        let mut executed: Vec<&str> = executed.lines().collect();
        let count = executed.len();
        executed.sort_unstable();
        executed.dedup();
        assert_eq!(executed.len(), count, "a call was executed twice");
        answered.sort_unstable();
        assert_eq!(executed, answered, "each call that was executed has one response");
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("calls")
    }
}

impl Callers {
    /// Starts clients. Returns once they run; `seconds` is how long the calls of each one take.
    #[must_use]
    pub fn start(address: &str, number: usize, seconds: impl Fn(usize) -> &'static str) -> Self {
        let (mut clients, seen) = (JoinSet::new(), Arc::<Seen>::default());
        for nth in 0..number {
            clients.spawn(call(nth, address.to_owned(), seconds(nth), Arc::clone(&seen)));
        }
        Self { clients, seen }
    }

    /// Returns the number of calls that were answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.seen.answered.load(Ordering::Relaxed)
    }

    /// Returns the number of calls that were refused because their session had ended or drained.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::Relaxed)
    }

    /// Returns how often no response came to a request.
    #[must_use]
    pub fn unreachable(&self) -> usize {
        self.seen.unreachable.load(Ordering::Relaxed)
    }

    /// Returns the number of sessions that have begun.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.seen.sessions.load(Ordering::Relaxed)
    }

    /// Waits until something holds that depends on what they have seen.
    ///
    /// # Panics
    ///
    /// A client has panicked, or it does not hold in time.
    pub async fn wait_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                if let Some(ended) = self.clients.try_join_next() {
                    panic!("a client has ended: {ended:?}");
                }
                sleep(RETRY).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }

    /// Stops the clients after their current calls. Returns the calls that were answered.
    pub async fn stop(&mut self) -> Vec<String> {
        self.seen.is_over.store(true, Ordering::Relaxed);
        let clients = std::mem::take(&mut self.clients);
        timeout(PATIENCE, clients.join_all()).await.unwrap().concat()
    }
}

async fn call(nth: usize, address: String, seconds: &str, seen: Arc<Seen>) -> Vec<String> {
    let (mut calls, mut session) = (Vec::new(), None);
    while !seen.is_over.load(Ordering::Relaxed) {
        let client = match session.take() {
            Some(client) => client,
            None => begin_session(&address, &seen).await,
        };
        let call = format!("{nth}-{}", calls.len());
        let params = json!({ "name": "any", "arguments": { "call": call, "seconds": seconds } });
        let id = calls.len() + 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        let Some(mut response) = send(&client, &address, &request, &seen).await else {
            session = Some(client);
            sleep(RETRY).await;
            continue;
        };
        match response.status {
            StatusCode::OK => {
                let messages = response.messages().await;
                let [message] = messages.as_slice() else { panic!("{messages:?}") };
                assert!(message.json()["result"].is_object(), "{message:?}");
                calls.push(call);
                seen.answered.fetch_add(1, Ordering::Relaxed);
                session = Some(client);
            }
            // Its session has ended, or ends: it was not executed.
            StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("a call was answered by {other}"),
        }
    }
    calls
}

/// Begins a session, as soon as a program can be reached and accepts one.
async fn begin_session(address: &str, seen: &Seen) -> Client {
    let new = Client::new(address);
    let initialize = initialize(LATEST_REVISION, &json!({}));
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    loop {
        if let Some(mut response) = send(&new, address, &initialize, seen).await
            && response.status == StatusCode::OK
            && response.response().await["result"].is_object()
        {
            let client = new.with_session(response.headers["mcp-session-id"].to_str().unwrap());
            let accepted = send(&client, address, &initialized, seen).await;
            if accepted.is_some_and(|response| response.status == StatusCode::ACCEPTED) {
                seen.sessions.fetch_add(1, Ordering::Relaxed);
                return client;
            }
        }
        sleep(RETRY).await;
    }
}

/// Sends a message. `None` if no response comes.
async fn send(
    client: &Client,
    address: &str,
    message: &Value,
    seen: &Seen,
) -> Option<HttpResponse> {
    let response = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let request = client.request(&Method::POST, message.to_string(), &[]);
        HttpResponse::receive(stream, request).await.ok()
    };
    let response = response.await;
    if response.is_none() {
        seen.unreachable.fetch_add(1, Ordering::Relaxed);
    }
    response
}
