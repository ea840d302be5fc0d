//! Processes that do not know the secret of the links.

use std::{process::Stdio, time::Duration};

use http::StatusCode;
use rejoin_test_support::{LogLines, Program, engine::Engine};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    check_retry,
    cluster::{Cluster, secret_file},
    counting::Counting,
    on_each_engine,
};

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_node_with_another_secret_serves_nothing_of_the_others() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start(&engine, &[]).await;
        let directory = TempDir::new().unwrap();
        let secret = secret_file(&directory, "another secret, which nobody else knows");
        let (store, secret) = (engine.url(), secret.to_str().unwrap());
        let links = ["--cluster-listen", "0", "--cluster-secret-file", secret];
        let options = [&["--store", &store][..], &links].concat();
        let mut stranger = Program::logging_to(Stdio::piped(), &options);
        let log = LogLines::of(&mut stranger);
        let client = cluster.session_of(0).await;
        let mut call = Counting::begin(&client, 1, 200, Duration::from_millis(5)).await;
        call.read_through(10).await;
        let there = crate::at(&client, &stranger);
        let (posted, got, deleted) = tokio::join!(
            there.call(2, "echo", json!({ "message": "a" })),
            there.get(Some("0/0")),
            there.delete()
        );
        [posted, got, deleted].iter().for_each(check_retry);
        let _ = log.next_with("no link");
        // Nor do others pass requests on to it.
        let own = rejoin_test_support::Client::initialize(&stranger.address).await;
        let refused = cluster.at(1, &own).call(1, "echo", json!({ "message": "a" })).await;
        check_retry(&refused);
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn who_cannot_prove_the_secret_is_disconnected() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start(&engine, &[]).await;
        let client = cluster.session_of(0).await;
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4_096], &[0; 4_096]] {
            let mut connection = TcpStream::connect(cluster.link_address(0)).await.unwrap();
            connection.write_all(bytes).await.unwrap();
            let mut received = Vec::new();
            let closed = timeout(Duration::from_secs(20), connection.read_to_end(&mut received));
            // An error is an end, too.
            let _ = closed.await.unwrap();
            assert!(received.len() < 4_096);
        }
        let served = cluster.at(1, &client).call(1, "echo", json!({ "message": "a" })).await;
        assert_eq!(served.status, StatusCode::OK);
    })
    .await;
}
