//! Three processes with links, and clients that send each request to the next one.

use std::{fs, sync::atomic::AtomicUsize, sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use rejoin_test_support::{Client, Program, engine::Engine};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{at, check_failed_after, engines, read_until, resume, serve};

const CALLS: i64 = 60;

/// Processes, of which a client knows all.
struct Nodes {
    programs: Vec<Program>,
    requests: AtomicUsize,
    _secret: TempDir,
}

impl Nodes {
    fn start(engine: &Engine, number: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("secret");
        fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        let options = ["--cluster-listen", "0", "--cluster-secret-file", file.to_str().unwrap()];
        let programs = (0..number).map(|_| serve(engine, &options)).collect();
        Self { programs, requests: AtomicUsize::new(0), _secret: directory }
    }

    /// Returns the same session at the next process.
    fn next(&self, client: &Client) -> Client {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        at(client, &self.programs[request % self.programs.len()])
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn any_process_serves_any_session() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let nodes = Nodes::start(&engine, 3);
        let client = Client::initialize(&nodes.programs[0].address).await;
        for id in 1..=CALLS {
            let mut response = nodes
                .next(&client)
                .call(id, "count", json!({ "total": 3, "interval_ms": 1 }))
                .await;
            assert_eq!(response.status, StatusCode::OK);
            let last = read_until(&mut response, 1).await;
            drop(response);
            let mut resumed = nodes.next(&client).get(Some(&last)).await;
            let messages = resumed.messages().await;
            assert_eq!(messages.len(), 3, "two progress notifications and the response");
            assert_eq!(messages[0].progress(), Some(2));
            assert!(messages[2].json().get("result").is_some());
        }
        assert_eq!(nodes.next(&client).delete().await.status, StatusCode::NO_CONTENT);
        // Processes that know the store for long enough know that it is gone.
        sleep(Duration::from_secs(3)).await;
        for _ in 0..3 {
            let gone = nodes.next(&client).call(1, "echo", json!({ "message": "a" })).await;
            assert_eq!(gone.status, StatusCode::NOT_FOUND);
        }
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_call_that_was_passed_on_ends_with_its_owner() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let mut nodes = Nodes::start(&engine, 3);
        sleep(Duration::from_millis(3_200)).await;
        let owner = nodes.programs.remove(0);
        let client = Client::initialize(&owner.address).await;
        let count = json!({ "total": 1_000, "interval_ms": 2 });
        let mut response = nodes.next(&client).call(1, "count", count).await;
        let mut seen = 10;
        let mut last = read_until(&mut response, seen).await;
        owner.signal("KILL");
        while let Some(item) = response.next().await {
            if let Some(progress) = item.progress() {
                seen += 1;
                assert_eq!(progress, seen);
            }
            last = item.id().unwrap_or(last);
        }
        let (mut resumed, took) = resume(&nodes.next(&client), &last).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        check_failed_after(seen, &resumed.messages().await);
    }
}
