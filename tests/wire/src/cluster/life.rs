//! The life of a client: sessions, and calls in each.

use std::sync::Arc;
use std::time::Duration;

use rejoin_tests::kit::Rng;
use tokio::time::{Instant, sleep};

use super::call::draw;
use super::client::{Client, Cluster};
use super::judge::Violation;
use super::session::Reader;

/// Calls of a session at a time.
const LANES: u64 = 2;
/// Time for the standalone stream to have everything after the last call.
pub(super) const CATCH_UP: Duration = Duration::from_secs(30);

/// Begins sessions, one after the other, and calls in each, until faults are over.
pub(super) async fn run_client(cluster: Arc<Cluster>, number: u64, round: u64, seed: u64) {
    let mut rng = Rng::new(seed, round, number);
    for nth in 0.. {
        if *cluster.is_calm.borrow() && nth > 0 {
            return;
        }
        let name = format!("{round}.{number}.{nth}");
        let Some(client) = cluster.begin(&name, &mut rng).await else { return };
        client.run(&mut rng).await;
    }
}

impl Client {
    async fn run(&self, rng: &mut Rng) {
        let reading = tokio::spawn({
            let client = self.clone();
            async move { client.read_standalone().await }
        });
        let calls = rng.between(5, 60);
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let (client, rng) = (self.clone(), Rng::new(rng.below(u64::MAX), lane, 0));
                tokio::spawn(async move { client.call_in_turn(rng, lane, calls).await })
            })
            .collect();
        for lane in lanes {
            if lane.await.is_err() {
                self.report(Violation::Unsettled, &Reader::new("-"), "a client has panicked");
            }
        }
        self.check_standalone().await;
        reading.abort();
        // It is aborted, or the session is over.
        let _ = reading.await;
        self.delete().await;
        self.session.end();
    }

    async fn call_in_turn(&self, mut rng: Rng, lane: u64, calls: u64) {
        for nth in 0..calls {
            let is_calm = *self.cluster.is_calm.borrow();
            if self.session.is_over() || is_calm && nth > 0 {
                return;
            }
            let name = format!("{}/{lane}.{nth}", self.session.name);
            let arguments = draw(&mut rng, name, is_calm);
            self.call(&mut rng, &arguments).await;
            sleep(rng.millis(0, 100)).await;
        }
    }

    /// Waits until everything has come that was announced before the response of a call.
    async fn check_standalone(&self) {
        let deadline = Instant::now() + CATCH_UP;
        while let Some(missing) = self.session.missing() {
            if self.session.is_over() {
                return;
            }
            if Instant::now() > deadline {
                if !self.may_have_lost() {
                    self.report(Violation::Loss, &Reader::new(""), &missing);
                }
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
