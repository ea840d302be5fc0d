//! HTTP connections: idle, refused, half-closed and abandoned ones.

use std::{fs, time::Duration};

use rejoin_test_support::{Client, Program};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::long_response::{self, LongResponse};

/// Timeout of every operation.
const LONG: Duration = Duration::from_secs(20);

fn request(client: &Client, method: &str, extra: &str, body: &str) -> String {
    let (session, length) = (client.session(), body.len());
    format!(
        "{method} /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: {session}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{extra}\r\n{body}"
    )
}

fn ping(id: u32) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }).to_string()
}

fn call(id: u32, tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// Reads until `expected` or the end of the stream, and returns what was read.
async fn read_until(stream: &mut TcpStream, expected: &str) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4_096];
    let read = async {
        loop {
            match stream.read(&mut part).await.unwrap() {
                0 => break,
                length => text.extend_from_slice(&part[..length]),
            }
            if String::from_utf8_lossy(&text).contains(expected) {
                break;
            }
        }
    };
    timeout(LONG, read).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn pings(client: &Client, stream: &mut TcpStream, id: u32) {
    stream.write_all(request(client, "POST", "", &ping(id)).as_bytes()).await.unwrap();
    let response = read_until(stream, "}\n\n").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn idle_connection_outlives_the_header_timeout() {
    let program = Program::serve(&["--header-timeout", "200ms"]);
    let client = Client::initialize(&program.address).await;
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    pings(&client, &mut stream, 1).await;
    sleep(Duration::from_millis(600)).await;
    pings(&client, &mut stream, 2).await;
}

#[tokio::test]
async fn idle_connection_is_closed_after_the_idle_timeout() {
    const IDLE: Duration = Duration::from_secs(1);
    let times = ["--header-timeout", "100ms", "--connection-idle-timeout", "1s"];
    let program = Program::serve(&times);
    let client = Client::initialize(&program.address).await;
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    // Taken before the program starts its idle timeout.
    let started = Instant::now();
    pings(&client, &mut stream, 1).await;
    assert_eq!(read_until(&mut stream, "\n").await, "");
    assert!(started.elapsed() >= IDLE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn connection_is_not_idle_while_its_response_is_being_read() {
    let program = long_response::serve(&["--connection-idle-timeout", "200ms"]);
    let client = Client::initialize(&program.address).await;
    let response = LongResponse::start(&client, &program.address).await;
    sleep(Duration::from_secs(1)).await;
    assert!(timeout(LONG, response.read_to_end()).await.unwrap());
}

#[tokio::test]
async fn header_timeout_starts_with_the_first_byte() {
    let program = Program::serve(&["--header-timeout", "500ms"]);
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    sleep(Duration::from_millis(800)).await;
    stream.write_all(b"POST /mcp HT").await.unwrap();
    let started = Instant::now();
    assert_eq!(read_until(&mut stream, "\n").await, "");
    assert!(started.elapsed() > Duration::from_millis(300), "{:?}", started.elapsed());
}

/// Many clients send the whole body before they read the response.
#[tokio::test]
async fn refusal_arrives_while_the_body_is_still_being_sent() {
    let program = Program::serve(&["--max-request-body", "1MiB"]);
    let client = Client::initialize(&program.address).await;
    let body = "x".repeat(16 << 20);
    for (refused, status) in [
        (request(&client, "POST", "", &body), "413"),
        (request(&client, "POST", "origin: http://evil.example\r\n", &body), "403"),
        (request(&client, "POST", "content-encoding: gzip\r\n", &body), "415"),
        (request(&client, "POST", "", &body).replace("/mcp", "/other"), "404"),
        (format!("nonsense\r\n\r\n{body}"), "400"),
        (format!("GET / HTTP/1.1\r\nx: {body}"), "431"),
    ] {
        let mut stream = TcpStream::connect(&program.address).await.unwrap();
        stream.write_all(refused.as_bytes()).await.expect(status);
        let response = read_until(&mut stream, "\r\n\r\n").await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {response}");
    }
}

#[tokio::test]
async fn client_that_shuts_down_its_write_side_gets_its_response() {
    let program = Program::serve(&[]);
    let client = Client::initialize(&program.address).await;
    let late = call(1, "count", &json!({ "total": 1, "interval_ms": 500 }));
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    // So that the FIN is sent together with the request, even on a busy machine.
    SockRef::from(&stream).set_tcp_cork(true).unwrap();
    stream.write_all(request(&client, "POST", "", &late).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let response = read_until(&mut stream, "\"result\"").await;
    assert!(response.contains("\"result\""), "{response}");
    assert_eq!(read_until(&mut stream, "never").await.matches("HTTP/").count(), 0);
}

/// Its connection permit is released, although nothing is ever sent to it.
#[tokio::test]
async fn closed_connection_is_noticed_without_keep_alive() {
    let program = Program::serve(&["--max-connections", "1", "--sse-keep-alive", "never"]);
    let client = Client::initialize(&program.address).await;
    for pause in [0, 600] {
        let mut stream = TcpStream::connect(&program.address).await.unwrap();
        let get = request(&client, "GET", "accept: text/event-stream\r\n", "");
        stream.write_all(get.as_bytes()).await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        sleep(Duration::from_millis(pause)).await;
        drop(stream);
        let next = timeout(LONG, client.call(1, "echo", json!({ "message": "m" })));
        let mut response = next.await.unwrap();
        assert_eq!(response.response().await["id"], 1);
    }
}

#[tokio::test]
async fn tcp_keep_alive_is_enabled() {
    let program = Program::serve(&["--sse-keep-alive", "never"]);
    let client = Client::initialize(&program.address).await;
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    let get = request(&client, "GET", "accept: text/event-stream\r\n", "");
    stream.write_all(get.as_bytes()).await.unwrap();
    read_until(&mut stream, "\n\n").await;
    let port = |address: std::net::SocketAddr| format!(":{:04X}", address.port());
    let local = port(stream.local_addr().unwrap());
    let peer = port(stream.peer_addr().unwrap());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    // Columns: number, local address, remote address, state, queues, timer.
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = columns
        .filter(|line| line.len() > 5)
        .find(|line| line[1].ends_with(&peer) && line[2].ends_with(&local))
        .unwrap();
    // 2 is the timer that sends keep-alive probes.
    assert!(line[5].starts_with("02:"), "{line:?}");
}

#[tokio::test]
async fn trailing_slash_of_the_path_is_ignored() {
    let program = Program::serve(&[]);
    let client = Client::initialize(&program.address).await;
    for (id, path, status) in [
        (1, "/mcp/", "200"),
        (2, "http://localhost/mcp?x=1", "200"),
        (3, "/mcp//", "404"),
        (4, "/", "404"),
    ] {
        let get = request(&client, "POST", "", &ping(id)).replace("/mcp", path);
        let mut stream = TcpStream::connect(&program.address).await.unwrap();
        stream.write_all(get.as_bytes()).await.unwrap();
        let response = read_until(&mut stream, "\r\n\r\n").await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {response}");
    }
}

#[tokio::test]
async fn large_irrelevant_headers_are_accepted() {
    let program = Program::serve(&[]);
    let client = Client::initialize(&program.address).await;
    let cookie = format!("cookie: a={}\r\n", "x".repeat(40 << 10));
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    stream.write_all(request(&client, "POST", &cookie, &ping(1)).as_bytes()).await.unwrap();
    let response = read_until(&mut stream, "\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}
