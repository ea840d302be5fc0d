//! Progress notifications to a connected client.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call, drain},
    measure::{Readings, Workload},
    message::Tool,
};

/// Number of notifications before each response.
const EVENTS: usize = 1_000;

/// Requests with progress notifications.
pub(crate) struct Progress<L: SessionLayer> {
    layer: L,
    session: L::Session,
    next: i64,
}

impl<L: SessionLayer> Progress<L> {
    /// Opens a session, and fills its logs.
    pub(crate) async fn prepare(layer: L) -> Result<Self> {
        let session = layer.open().await?;
        let mut workload = Self { layer, session, next: 1 };
        // More than the 16 MiB that a session keeps.
        for _ in 0..70 {
            workload.round().await?;
        }
        Ok(workload)
    }
}

impl<L: SessionLayer> Workload for Progress<L> {
    async fn round(&mut self) -> Result<Readings> {
        let message = call(&self.layer, self.next, Tool::Events(EVENTS), "hello")?;
        self.next += 1;
        let start = Instant::now();
        let mut stream = self.layer.send(&self.session, message).await?;
        let events = drain(&self.layer, &mut stream).await?;
        ensure!(events > EVENTS, "only {events} events");
        Ok(vec![(TIME, nanoseconds(start, EVENTS))])
    }
}
