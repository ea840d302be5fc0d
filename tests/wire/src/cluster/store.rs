//! The server of the store, its faults, and what it keeps.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rejoin_test_support::engine::Engine;
use rejoin_tests::kit::Rng;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::faults::Fault;
use super::judge::Judge;

/// The server of the store.
#[derive(Debug)]
pub(super) struct StoreServer(Engine);

/// What the store keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreUse {
    /// Number of keys of sessions.
    pub(super) sessions: u64,
    /// Number of other keys: of nodes, and of the store.
    others: u64,
    /// Size of all keys.
    bytes: u64,
}

/// What is acknowledged is in the file, so that only a fault that says so loses anything.
const OPTIONS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// Time between two faults of the store.
const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

impl StoreServer {
    pub(super) async fn start(program: &Path) -> Self {
        Self(Engine::start_with(program, &OPTIONS).await)
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// Disturbs the store, in another way in each round.
    pub(super) async fn disturb(&mut self, judge: &Judge, mut rng: Rng, round: u64, end: Instant) {
        let mut next = Instant::now() + rng.millis(5_000, 25_000);
        for nth in round.. {
            if next >= end {
                break;
            }
            sleep_until(next).await;
            next += INTERVAL;
            let number = match nth % 4 {
                0 => self.restart(judge, Fault::StoreForget, rng.millis(0, 5_000)).await,
                1 => {
                    let number = judge.begin_fault(Fault::StoreAway);
                    self.0.pause(true);
                    sleep(rng.millis(1_000, 10_000)).await;
                    self.0.pause(false);
                    number
                }
                2 => self.restart(judge, Fault::StoreRestart, rng.millis(0, 5_000)).await,
                _ => {
                    let number = judge.begin_fault(Fault::StoreFlush);
                    self.0.command("FLUSHALL").await;
                    number
                }
            };
            judge.faults.end(number);
        }
    }

    /// Kills the server, and starts it again after some time.
    async fn restart(&mut self, judge: &Judge, fault: Fault, time: Duration) -> usize {
        let number = judge.begin_fault(fault);
        self.0.kill();
        if fault == Fault::StoreForget {
            self.0.forget();
        }
        sleep(time).await;
        self.0.restart().await;
        number
    }

    /// Returns what it keeps.
    pub(super) async fn uses(&self) -> Result<StoreUse> {
        timeout(TIMEOUT, self.measure()).await.context("the store does not answer")
    }

    async fn measure(&self) -> StoreUse {
        let mut uses = StoreUse::default();
        for key in self.0.query("KEYS *").await {
            // One that is gone meanwhile has no size.
            let usage = self.0.query(&format!("MEMORY USAGE {key} SAMPLES 0")).await;
            uses.bytes += usage.first().and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
            if key.starts_with("rejoin:session:") {
                uses.sessions += 1;
            } else {
                uses.others += 1;
            }
        }
        uses
    }
}

impl fmt::Display for StoreUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, others, bytes } = self;
        write!(f, "store: {sessions} sessions, {others} other keys, {bytes} bytes")
    }
}
