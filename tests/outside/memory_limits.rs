//! Limits of memory and of sessions.

use std::{fs, time::Duration};

use http::{Method, StatusCode};
use rejoin_test_support::{Client, Program, initialize, script};
use serde_json::json;

use crate::slow_readers::Call;

/// Returns the peak resident memory of a process, in KiB.
fn peak(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A server that answers `initialize`, and then reads nothing.
const NEVER_READS: &str = r#"read -r line
echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"blocked","version":"0"}}}'
read -r line
exec sleep 600"#;

#[tokio::test]
async fn queued_messages_stay_within_the_memory_limit() {
    let limits = ["--max-memory", "128MiB", "--queue-timeout", "1s"];
    let program = Program::serve(&[&limits[..], &["--", "sh", "-c", NEVER_READS]].concat());
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::initialize(&program.address).await);
    }
    let before = peak(&program);
    let large = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(3 << 20)] });
    let large = large.to_string();
    let mut accepted = 0;
    for round in 0..8 {
        for client in &clients {
            let sent = client.send(Method::POST, large.clone(), &[]).await;
            accepted += usize::from(sent.status == StatusCode::ACCEPTED);
            assert!(round > 0 || sent.status == StatusCode::ACCEPTED, "{}", sent.status);
        }
    }
    let grown = peak(&program).saturating_sub(before);
    assert!(accepted <= 32 / 3, "{accepted} messages of 3 MiB were accepted");
    assert!(grown < 44 << 10, "{grown} KiB for 32 MiB of messages");
    // Small messages are still accepted.
    for client in &clients {
        let small = json!({ "jsonrpc": "2.0", "method": "n" });
        let sent = tokio::time::timeout(Duration::from_secs(20), client.post(&small));
        assert_eq!(sent.await.unwrap().status, StatusCode::ACCEPTED);
    }
}

/// A server that answers every request, and ignores notifications.
const READS_ALL: &str = r#"while receive; do
    case $line in *'"id"'*) respond '{}' ;; esac
done"#;

#[tokio::test]
async fn message_that_the_server_has_read_releases_its_memory() {
    let program = script::serve(&["--max-memory", "32MiB"], READS_ALL);
    let large = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(3 << 20)] });
    let large = large.to_string();
    let mut idle = Vec::new();
    for _ in 0..4 {
        let client = Client::initialize(&program.address).await;
        let accepted = async {
            // The other servers may still be reading.
            while client.send(Method::POST, large.clone(), &[]).await.status != StatusCode::ACCEPTED
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), accepted).await.unwrap();
        idle.push(client);
    }
}

/// A server that answers `count` with 900 kB, and other calls with little.
const LARGE_RESPONSES: &str = r#"
text=$(head -c 900000 /dev/zero | tr '\0' y)
while receive; do
    case $line in
    *'"count"'*) respond "{\"text\":\"$text\"}" ;;
    *) respond '{}' ;;
    esac
done"#;

#[tokio::test]
async fn unread_responses_of_all_sessions_stay_within_the_memory_limit() {
    const SESSIONS: u64 = 16;
    const CALLS: u64 = 24;
    const RESPONSE_KIB: u64 = 900_000 / 1_024;
    let program =
        script::serve(&["--max-memory", "32MiB", "--max-message", "1MiB"], LARGE_RESPONSES);
    let other = Client::initialize(&program.address).await;
    let before = peak(&program);
    let mut unread = Vec::new();
    for _ in 0..SESSIONS {
        let client = Client::initialize(&program.address).await;
        for id in 0..CALLS {
            unread.push(Call::send(&client, &program.address, id.cast_signed()));
        }
    }
    // Every response is larger than what the system buffers, so that the connections of their
    // readers, which have stopped, are cut one after another.
    for id in 0..50 {
        let call = async { other.call(id, "any", json!({})).await.response().await };
        let response = tokio::time::timeout(Duration::from_secs(3), call).await.unwrap();
        assert!(response["result"].is_object(), "{response}");
    }
    let grown = peak(&program).saturating_sub(before);
    // Each server waits with one line, which was read.
    let max = (24 << 10) + SESSIONS * 2 * RESPONSE_KIB + (24 << 10);
    assert!(max < SESSIONS * CALLS * RESPONSE_KIB / 4, "the responses are too few");
    assert!(grown < max, "{grown} KiB, more than {max}");
}

/// A single client can open 10,000 of them in a second.
#[tokio::test]
async fn unused_sessions_are_evicted_for_new_ones() {
    let program = Program::serve(&["--max-sessions", "4"]);
    let used = Client::initialize(&program.address).await;
    used.call(1, "echo", json!({ "message": "m" })).await.response().await;
    let listening = Client::initialize(&program.address).await;
    let mut standalone = listening.get(None).await;
    standalone.next().await.unwrap();
    for _ in 0..20 {
        Client::initialize(&program.address).await;
    }
    let newest = Client::initialize(&program.address).await;
    for client in [&used, &listening, &newest] {
        client.call(2, "echo", json!({ "message": "m" })).await.response().await;
    }
}

#[tokio::test]
async fn unused_session_expires_early() {
    let program = Program::serve(&["--unused-timeout", "300ms"]);
    let used = Client::initialize(&program.address).await;
    used.call(1, "echo", json!({ "message": "m" })).await.response().await;
    let unused = Client::initialize(&program.address).await;
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let ended = async {
        while unused.post(&notification).await.status != StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    used.call(2, "echo", json!({ "message": "m" })).await.response().await;
}

#[tokio::test]
async fn sessions_per_client_address_are_limited() {
    let trusting = ["--max-sessions-per-ip", "1", "--client-ip-header", "X-Forwarded-For"];
    let program = Program::serve(&trusting);
    let new_client = Client::new(&program.address);
    let initialize = initialize("2025-11-25", &json!({})).to_string();
    let from = async |address: &str| {
        let header = [("x-forwarded-for", address)];
        let response = new_client.send(Method::POST, initialize.clone(), &header).await;
        let session = response.headers.get("mcp-session-id");
        (response.status, session.map(|id| id.to_str().unwrap().to_owned()))
    };
    let (first, session) = from("192.0.2.1").await;
    assert_eq!(first, StatusCode::OK);
    // The proxy appends the address to what the client sent.
    assert_eq!(from("203.0.113.9, 192.0.2.1").await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(from("192.0.2.2").await.0, StatusCode::OK);
    assert!(new_client.with_session(&session.unwrap()).delete().await.status.is_success());
    assert_eq!(from("192.0.2.1").await.0, StatusCode::OK);

    let program = Program::serve(&["--max-sessions-per-ip", "1"]);
    let _first = Client::initialize(&program.address).await;
    let new_client = Client::new(&program.address);
    let refused =
        new_client.send(Method::POST, initialize.clone(), &[("x-forwarded-for", "192.0.2.1")]);
    assert_eq!(refused.await.status, StatusCode::TOO_MANY_REQUESTS);
}

/// A server that sends 4 MB progress notifications for every call except an echo, one call after
/// the other.
const LARGE_EVENTS: &str = r#"
large=$(head -c 4000000 /dev/zero | tr '\0' y)
while receive; do
    case $line in *'"echo"'*) ;; *)
        for count in 1 2 3 4 5 6; do
            printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%s,"message":"%s"}}\n' $id $count $large
        done ;;
    esac
    respond '{}'
done"#;

#[tokio::test(flavor = "multi_thread")]
async fn unread_connections_stay_within_the_memory_limit() {
    const READERS: i64 = 8;
    let limits = ["--hold-timeout", "100ms", "--stall-timeout-min", "50ms"];
    let program = script::serve(&limits, LARGE_EVENTS);
    let client = Client::initialize(&program.address).await;
    let before = peak(&program);
    let unread: Vec<_> =
        (1..=READERS).map(|id| Call::send(&client, &program.address, id)).collect();
    // It is answered after all events of the unread connections were sent.
    let last = async { client.call(READERS + 1, "echo", json!({})).await.response().await };
    tokio::time::timeout(Duration::from_secs(60), last).await.unwrap();
    let grown = peak(&program).saturating_sub(before);
    assert!(grown < 56 << 10, "{grown} KiB for {READERS} connections that are not read");
    drop(unread);
}
