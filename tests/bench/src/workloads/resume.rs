//! Resuming a stream, and the replay of its events.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call},
    measure::{Readings, Workload},
    message::Tool,
};

/// Resumes the same stream repeatedly.
pub(crate) struct Resumes<L: SessionLayer> {
    layer: L,
    session: L::Session,
    first_id: String,
    events: usize,
    per_round: usize,
}

impl<L: SessionLayer> Resumes<L> {
    /// Opens a stream with `events` events after the priming event.
    pub(crate) async fn prepare(layer: L, events: usize) -> Result<Self> {
        let session = layer.open().await?;
        let message = call(&layer, 1, Tool::Hang(events), "hello")?;
        let mut stream = layer.send(&session, message).await?;
        let first_id = layer.first_id(&mut stream).await?;
        read_events(&layer, &mut stream, events).await?;
        drop(stream);
        let per_round = (20_000 / (events + 20)).max(10);
        Ok(Self { layer, session, first_id, events, per_round })
    }
}

async fn read_events<L: SessionLayer>(
    layer: &L,
    stream: &mut L::Stream,
    events: usize,
) -> Result<()> {
    let mut received = 0;
    while received < events {
        let more = layer.next_events(stream).await?;
        ensure!(more > 0, "the stream ended after {received} events");
        received += more;
    }
    Ok(())
}

impl<L: SessionLayer> Workload for Resumes<L> {
    async fn round(&mut self) -> Result<Readings> {
        let start = Instant::now();
        for _ in 0..self.per_round {
            let mut stream = self.layer.resume(&self.session, &self.first_id).await?;
            read_events(&self.layer, &mut stream, self.events).await?;
        }
        Ok(vec![(TIME, nanoseconds(start, self.per_round))])
    }
}
