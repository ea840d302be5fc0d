//! Creation and initialization of sessions.

use std::time::Instant;

use anyhow::Result;

use crate::{
    layer::SessionLayer,
    measure::{Metric, Readings, Workload},
};

const RATE: Metric = Metric::rate("rate", "per s");

/// Creates sessions, in each round with a new manager.
pub(crate) struct Creations<F> {
    make: F,
    count: usize,
}

impl<F> Creations<F> {
    /// Creates `count` sessions per round.
    pub(crate) fn new(make: F, count: usize) -> Self {
        Self { make, count }
    }
}

impl<L: SessionLayer, F: Fn() -> Result<L> + Send + Sync + 'static> Workload for Creations<F> {
    async fn round(&mut self) -> Result<Readings> {
        let layer = (self.make)()?;
        let mut sessions = Vec::with_capacity(self.count);
        let start = Instant::now();
        for _ in 0..self.count {
            sessions.push(layer.open().await?);
        }
        let rate = self.count as f64 / start.elapsed().as_secs_f64();
        drop((sessions, layer));
        // Lets the tasks of the sessions end now, not during the next round.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        Ok(vec![(RATE, rate)])
    }
}
