//! Restarts of the program while clients call.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use rejoin_test_support::{
    Client, HttpResponse, LATEST_REVISION, Program, free_port, initialize, processes::wait_until,
    script::with_prelude,
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

const CLIENTS: usize = 64;

/// How soon a client tries again.
const RETRY: Duration = Duration::from_millis(20);

/// A server that appends the key of each call to a file, and answers it a little later.
const RECORDS: &str = r#"while receive; do
    rest=${line#*'"key":"'}; printf '%s\n' "${rest%%\"*}" >> "$RECORD"; sleep 0.02; respond '{}'
done"#;

#[derive(Default)]
struct Progress {
    calls: AtomicUsize,
    stop: AtomicBool,
}

fn start(port: u16, record: &Path) -> Program {
    let (listen, record) = (format!("127.0.0.1:{port}"), format!("RECORD={}", record.display()));
    let script = with_prelude(RECORDS);
    Program::serve(&[
        "--listen",
        &listen,
        "--env",
        &record,
        "--drain-timeout",
        "60s",
        "--",
        "/bin/sh",
        "-c",
        &script,
    ])
}

/// Sends a message. `None` if the server cannot be reached.
async fn send(client: &Client, address: &str, message: &Value) -> Option<HttpResponse> {
    let stream = TcpStream::connect(address).await.ok()?;
    let request = client.request(&Method::POST, message.to_string(), &[]);
    HttpResponse::receive(stream, request).await.ok()
}

/// Opens a session, as soon as the server can be reached and accepts one.
async fn open(address: &str) -> Client {
    let client = Client::new(address);
    let initialize = initialize(LATEST_REVISION, &json!({}));
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    loop {
        if let Some(response) = send(&client, address, &initialize).await
            && let Some(id) = response.headers.get("mcp-session-id")
        {
            let opened = client.with_session(id.to_str().unwrap());
            let accepted = send(&opened, address, &initialized).await;
            if accepted.is_some_and(|response| response.status == StatusCode::ACCEPTED) {
                return opened;
            }
        }
        sleep(RETRY).await;
    }
}

/// Calls until it is told to stop. A call that was refused is sent again, in a new session if the
/// session has ended. Returns the keys of the calls, each of which was answered.
async fn call_repeatedly(address: String, number: usize, progress: Arc<Progress>) -> Vec<String> {
    let mut client = open(&address).await;
    let mut keys = Vec::new();
    while !progress.stop.load(Ordering::SeqCst) {
        let key = format!("{number}-{}", keys.len());
        let params = json!({ "name": "any", "arguments": { "key": key } });
        let id = keys.len() + 1;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        loop {
            match send(&client, &address, &call).await {
                Some(mut response) if response.status == StatusCode::OK => {
                    assert_eq!(response.response().await["result"], json!({}), "{key}");
                    break;
                }
                Some(response) if response.status == StatusCode::NOT_FOUND => {
                    client = open(&address).await;
                }
                Some(response) => {
                    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
                    sleep(RETRY).await;
                }
                None => sleep(RETRY).await,
            }
        }
        keys.push(key);
        progress.calls.fetch_add(1, Ordering::SeqCst);
    }
    keys
}

#[tokio::test]
async fn restarts_under_load_lose_and_double_no_call() {
    let directory = tempfile::TempDir::new().unwrap();
    let record = directory.path().join("record");
    let port = free_port();
    let mut program = start(port, &record);
    let progress = Arc::new(Progress::default());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(call_repeatedly(program.address.clone(), number, Arc::clone(&progress)));
    }
    for _ in 0..3 {
        let next = progress.calls.load(Ordering::SeqCst) + 2 * CLIENTS;
        wait_until(|| progress.calls.load(Ordering::SeqCst) >= next).await;
        program.signal("TERM");
        assert!(program.exited(Duration::from_secs(60)).await.unwrap().success());
        program = start(port, &record);
    }
    let next = progress.calls.load(Ordering::SeqCst) + 2 * CLIENTS;
    wait_until(|| progress.calls.load(Ordering::SeqCst) >= next).await;
    progress.stop.store(true, Ordering::SeqCst);
    let answered = clients.join_all().await.concat();
    let mut executed = BTreeMap::new();
    for key in fs::read_to_string(&record).unwrap().lines() {
        *executed.entry(key.to_owned()).or_insert(0) += 1;
    }
    let doubled: Vec<_> = executed.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(executed.len(), answered.len(), "a call was executed, but not answered");
    assert!(answered.iter().all(|key| executed.contains_key(key)));
}
