//! Memory and latency of `LocalSessionManager` after many calls that nobody waits for, over
//! sockets. `REJOIN_DROP_IN_CALLS` is the number of calls of each kind.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "prints what it has measured")]

#[path = "drop_in/client.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod client;
#[path = "drop_in/server.rs"]
mod server;
#[path = "drop_in/service.rs"]
mod service;

use std::{alloc::System, env, time::Duration};

use axum::http::StatusCode;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::time::Instant;

use self::{client::Client, server::Server, service::Report};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls after which no limit of a session is left to reach: more than it retains.
const WARM_UP: u64 = 1_200;

/// Returns the number of bytes that this process has allocated.
fn allocated_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A client that makes calls that it does not wait for.
struct Calls {
    server: Server,
    client: Client,
    next_id: u64,
}

impl Calls {
    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Calls a tool, and leaves before its response is produced.
    async fn abandon(&mut self) {
        let id = self.next_id();
        let mut events = self.client.call(id, "wait", json!({})).await;
        assert_eq!(events.status, StatusCode::OK, "call {id}");
        events.next().await.unwrap();
        drop(events);
        self.server.wait_for_call("wait").await;
        self.server.tools.gate.add_permits(1);
    }

    /// Calls a tool, and cancels the call.
    async fn cancel(&mut self) {
        let id = self.next_id();
        let mut events = self.client.call(id, "hang", json!({})).await;
        assert_eq!(events.status, StatusCode::OK, "call {id}");
        events.next().await.unwrap();
        self.server.wait_for_call("hang").await;
        let params = json!({ "requestId": id });
        let status = self.client.notify("notifications/cancelled", params, &[]).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        self.server.wait_for(&Report::Cancelled).await;
        assert!(events.next().await.is_none());
    }

    /// Returns the median duration of a call.
    async fn latency(&mut self) -> Duration {
        let mut durations = Vec::new();
        for _ in 0..101 {
            let (id, begin) = (self.next_id(), Instant::now());
            self.client.echo(id).await;
            durations.push(begin.elapsed());
        }
        durations.sort_unstable();
        durations[durations.len() / 2]
    }

    /// Checks that `calls` calls leave memory and latency where they were.
    async fn check(&mut self, calls: u64, kind: &str, call: impl AsyncFn(&mut Self)) {
        for _ in 0..WARM_UP {
            call(self).await;
        }
        let (latency_before, bytes_before) = (self.latency().await, allocated_bytes());
        for _ in 0..calls {
            call(self).await;
        }
        let (bytes_after, latency_after) = (allocated_bytes(), self.latency().await);
        let left = bytes_after.saturating_sub(bytes_before);
        println!(
            "{calls} {kind} calls: {bytes_before} to {bytes_after} bytes, \
             {latency_before:?} to {latency_after:?}"
        );
        assert!(left < 64 << 10, "{calls} {kind} calls left {left} bytes");
        assert!(latency_after < 10 * latency_before, "{latency_before:?} to {latency_after:?}");
    }
}

/// A single test, because the allocator counts for the whole process.
#[tokio::test]
async fn abandoned_and_cancelled_calls_leave_memory_and_latency_as_before() {
    let calls = env::var("REJOIN_DROP_IN_CALLS").ok();
    let calls = calls.map_or(2_000, |calls| calls.parse().unwrap());
    let server = Server::start().await;
    let client = server.connect().await;
    let mut runner = Calls { server, client, next_id: 0 };
    runner.check(calls, "abandoned", Calls::abandon).await;
    runner.check(calls, "cancelled", Calls::cancel).await;
    assert_eq!(runner.server.manager.session_count(), 1);
}
