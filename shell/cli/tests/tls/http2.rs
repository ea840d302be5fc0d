//! HTTP/2: many requests on one connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Uri, header};
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rejoin_test_support::{Client, HttpResponse};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::fixture::{
    Request, Served, check_slow_reader, count, echo, get, initialization, read_gap, read_progress,
};

/// How much a client lets the server send on a stream, and on its connection, in bytes.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Many more bytes than the buffers of a response, if they are limited.
const EVENTS: u64 = 20_000;

/// A connection.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    async fn open(served: &Served) -> Self {
        let stream = served.connect("h2", None).await.unwrap();
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(STREAM_WINDOW);
        builder.initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Self { sender, task: tokio::spawn(connection) }
    }

    async fn send(&self, mut request: Request) -> HttpResponse {
        let host = request.headers_mut().remove(header::HOST).unwrap();
        let uri = format!("https://{}{}", host.to_str().unwrap(), request.uri().path());
        *request.uri_mut() = uri.parse::<Uri>().unwrap();
        HttpResponse::of_shared(self.sender.clone().send_request(request).await.unwrap())
    }

    async fn open_session(&self, served: &Served) -> Client {
        let mut response = self.send(initialization(&served.client())).await;
        response.response().await;
        served.client().with_session(response.headers["mcp-session-id"].to_str().unwrap())
    }
}

#[tokio::test]
async fn many_sessions_share_a_connection() {
    let served = Served::start(&[]);
    let connection = Connection::open(&served).await;
    let mut calls = JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let client = connection.open_session(&served).await;
        streams.push(connection.send(get(&client, None)).await);
        for id in 1..=3 {
            let mut call = connection.send(count(&client, id, 20, 2)).await;
            calls.spawn(async move { read_progress(&mut call, 0, None).await });
        }
    }
    assert_eq!(calls.join_all().await, [(20, true); 60]);
    assert!(streams.iter().all(|stream| stream.status == 200));
    assert!(!connection.task.is_finished());
}

#[tokio::test]
async fn a_stopped_reader_delays_no_other_stream() {
    let served = Served::start(&[]);
    let connection = Connection::open(&served).await;
    let (slow, other) =
        (connection.open_session(&served).await, connection.open_session(&served).await);
    let mut flood = connection.send(count(&slow, 1, EVENTS, 0)).await;
    for id in 1..=50 {
        let mut call = connection.send(count(&other, id, 5, 0)).await;
        let read = timeout(Duration::from_secs(10), read_progress(&mut call, 0, None)).await;
        assert_eq!(read.unwrap(), (5, true));
    }
    assert_eq!(read_progress(&mut flood, 0, None).await, (EVENTS, true));
}

#[tokio::test]
async fn what_a_stopped_reader_was_sent_is_limited() {
    let served = Served::start(&[]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    let mut call = connection.send(count(&client, 1, EVENTS, 0)).await;
    assert_eq!(read_progress(&mut call, 0, Some(3)).await, (3, false));
    let seen = call.last_event_id.clone().unwrap();
    // Another call takes longer than the buffers need to fill.
    let mut other = connection.send(count(&client, 2, 5, 100)).await;
    assert_eq!(read_progress(&mut other, 0, None).await, (5, true));
    let mut resumed = connection.send(get(&client, Some(&seen))).await;
    let sent = read_gap(&mut resumed, 3).await;
    assert!(sent < EVENTS / 20, "{sent}");
    assert_eq!(read_progress(&mut resumed, sent, None).await, (EVENTS, true));
}

// The connection runs while the test waits for the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_is_resumed_on_the_same_connection() {
    let served = Served::start(&[]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    let mut call = connection.send(count(&client, 1, 20, 10)).await;
    assert_eq!(read_progress(&mut call, 0, Some(2)).await, (2, false));
    let seen = call.last_event_id.clone().unwrap();
    // Sends RST_STREAM.
    drop(call);
    served.logged("connection lost");
    let mut resumed = connection.send(get(&client, Some(&seen))).await;
    assert_eq!(read_progress(&mut resumed, 2, None).await, (20, true));
}

#[tokio::test]
async fn a_lost_connection_is_resumed_on_another() {
    let served = Served::start(&[]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    let mut call = connection.send(count(&client, 1, 20, 10)).await;
    assert_eq!(read_progress(&mut call, 0, Some(2)).await, (2, false));
    let seen = call.last_event_id.clone().unwrap();
    connection.task.abort();
    let connection = Connection::open(&served).await;
    let mut resumed = connection.send(get(&client, Some(&seen))).await;
    assert_eq!(read_progress(&mut resumed, 2, None).await, (20, true));
}

#[tokio::test]
async fn a_shutdown_lets_the_requests_of_a_connection_finish() {
    let served = Served::start(&["--drain-timeout", "600s"]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    let mut call = connection.send(count(&client, 1, 10, 50)).await;
    assert_eq!(read_progress(&mut call, 0, Some(1)).await, (1, false));
    served.program.signal("TERM");
    assert_eq!(read_progress(&mut call, 1, None).await, (10, true));
    let closed = timeout(Duration::from_secs(20), connection.task).await.unwrap();
    assert!(closed.unwrap().is_ok(), "the connection ends by GOAWAY");
    let Served { mut program, .. } = served;
    assert!(program.exited(Duration::from_secs(20)).await.unwrap().success());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let served = Served::start(&["--connection-idle-timeout", "300ms"]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    // Longer than the timeout, without an idle moment.
    let mut call = connection.send(count(&client, 1, 10, 60)).await;
    assert_eq!(read_progress(&mut call, 0, None).await, (10, true));
    let closed = timeout(Duration::from_secs(20), connection.task).await.unwrap();
    assert!(closed.unwrap().is_ok(), "the connection ends by GOAWAY");
}

#[tokio::test]
async fn a_connection_whose_client_does_not_read_is_closed() {
    let served = Served::start(&[
        "--stall-timeout-min",
        "100ms",
        "--stall-timeout-max",
        "500ms",
        "--stall-disconnect-timeout",
        "1s",
    ]);
    let (reading, stalled) = (Connection::open(&served).await, Connection::open(&served).await);
    let client = reading.open_session(&served).await;
    let _unread = stalled.send(count(&client, 1, EVENTS, 0)).await;
    // Takes longer than the timeout, on a connection whose client reads.
    let mut other = reading.send(count(&client, 2, 30, 50)).await;
    assert_eq!(read_progress(&mut other, 0, None).await, (30, true));
    // The client has more than its window, and still answers pings.
    let closed = timeout(Duration::from_secs(20), stalled.task).await.unwrap();
    assert!(closed.unwrap().is_err(), "the connection ends without GOAWAY");
    assert!(!reading.task.is_finished());
}

#[tokio::test]
async fn connections_end_after_their_requests_once_the_program_is_not_ready() {
    let served = Served::start(&["--drain-delay", "600s"]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    let mut call = connection.send(count(&client, 1, 20, 20)).await;
    assert_eq!(read_progress(&mut call, 0, Some(1)).await, (1, false));
    served.program.signal("TERM");
    assert_eq!(read_progress(&mut call, 1, None).await, (20, true));
    let closed = timeout(Duration::from_secs(20), connection.task).await.unwrap();
    assert!(closed.unwrap().is_ok(), "the connection ends by GOAWAY");
    let next = Connection::open(&served).await;
    let mut call = next.send(count(&client, 2, 3, 0)).await;
    assert_eq!(read_progress(&mut call, 0, None).await, (3, true));
    let closed = timeout(Duration::from_secs(20), next.task).await.unwrap();
    assert!(closed.unwrap().is_ok(), "the connection ends by GOAWAY");
}

#[tokio::test]
async fn a_shutdown_waits_until_a_response_is_read() {
    let served = Served::start(&["--drain-timeout", "600s"]);
    let connection = Connection::open(&served).await;
    let client = connection.open_session(&served).await;
    let message = "m".repeat(1 << 20);
    let response = connection.send(echo(&client, 1, &message)).await;
    check_slow_reader(served, response, &message).await;
}
