//! Connections to the listener for operators: how many there are, and how long they may be silent.

use std::time::Duration;

use http::Method;
use rejoin_test_support::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::Served;

/// Maximum number of connections.
const CONNECTIONS_MAX: usize = 64;

/// Maximum time for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_number_of_connections_is_limited() {
    let served = Served::start(&[]);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        connections.push(TcpStream::connect(&served.admin).await.unwrap());
    }
    let another = served.text("/livez");
    tokio::pin!(another);
    assert!(timeout(Duration::from_millis(300), &mut another).await.is_err(), "it waits");
    connections.pop();
    assert_eq!(timeout(PATIENCE, another).await.unwrap(), "ok\n");
}

#[tokio::test]
async fn viewers_and_clients_that_keep_their_connections_do_not_delay_health_checks() {
    let served = Served::start(&["--connection-idle-timeout", "1h"]);
    let mut viewers = Vec::new();
    for _ in 0..CONNECTIONS_MAX / 2 {
        let client = Client::new(&served.admin).with_path("/live/sessions");
        viewers.push(client.send(Method::GET, String::new(), &[("host", &served.admin)]).await);
    }
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS_MAX / 2 {
        let mut connection = TcpStream::connect(&served.admin).await.unwrap();
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert_ne!(connection.read(&mut [0; 1_024]).await.unwrap(), 0);
        kept.push(connection);
    }
    let ready = timeout(Duration::from_secs(2), served.text("/readyz"));
    assert_eq!(ready.await.unwrap(), "ok\n");
}

#[tokio::test]
async fn silent_clients_delay_health_checks_only_for_a_short_time() {
    let served = Served::start(&["--connection-idle-timeout", "1h", "--header-timeout", "1h"]);
    let mut silent = Vec::new();
    for number in 0..CONNECTIONS_MAX {
        let mut connection = TcpStream::connect(&served.admin).await.unwrap();
        if number % 2 == 0 {
            connection.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        }
        silent.push(connection);
    }
    let ready = timeout(Duration::from_secs(10), served.text("/readyz"));
    assert_eq!(ready.await.unwrap(), "ok\n");
}

#[tokio::test]
async fn a_request_whose_headers_do_not_end_is_given_up() {
    let served = Served::start(&["--header-timeout", "200ms"]);
    let mut connection = TcpStream::connect(&served.admin).await.unwrap();
    connection.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let ended = timeout(PATIENCE, connection.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let served = Served::start(&["--connection-idle-timeout", "200ms"]);
    let mut connection = TcpStream::connect(&served.admin).await.unwrap();
    let ended = timeout(PATIENCE, connection.read(&mut [0; 64])).await.unwrap();
    assert_eq!(ended.unwrap(), 0);
    assert_eq!(served.text("/livez").await, "ok\n");
}
