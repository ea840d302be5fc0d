//! Progress events to a client that is connected.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call, drain},
    measure::{Readings, Workload},
    message::Tool,
};

/// How many events a request brings before its response.
const EVENTS: usize = 1_000;

/// Requests that report progress.
pub(crate) struct Progress<L: SessionLayer> {
    layer: L,
    session: L::Session,
    next: i64,
}

impl<L: SessionLayer> Progress<L> {
    /// Begins a session, and fills what it keeps.
    pub(crate) async fn prepare(layer: L) -> Result<Self> {
        let session = layer.open().await?;
        let mut work = Self { layer, session, next: 1 };
        // More than the sixteen MiB that a session keeps.
        for _ in 0..70 {
            work.round().await?;
        }
        Ok(work)
    }
}

impl<L: SessionLayer> Workload for Progress<L> {
    async fn round(&mut self) -> Result<Readings> {
        let message = call(&self.layer, self.next, Tool::Events(EVENTS), "hello")?;
        self.next += 1;
        let start = Instant::now();
        let mut stream = self.layer.send(&self.session, message).await?;
        let events = drain(&self.layer, &mut stream).await?;
        ensure!(events > EVENTS, "there were {events} events only");
        Ok(vec![(TIME, nanoseconds(start, EVENTS))])
    }
}
