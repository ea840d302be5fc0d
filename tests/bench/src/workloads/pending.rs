//! Requests while many others are in flight.

use std::{collections::VecDeque, time::Instant};

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call, drain},
    measure::{Readings, Workload},
    message::Tool,
};

/// A request is answered when so many more have come: so many are always in flight.
pub(crate) struct PendingRequests<L: SessionLayer> {
    layer: L,
    session: L::Session,
    tool: Tool,
    next: i64,
    waiting: VecDeque<L::Stream>,
    per_round: usize,
}

impl<L: SessionLayer> PendingRequests<L> {
    /// Begins a session, and gets so many requests in flight.
    pub(crate) async fn prepare(layer: L, count: usize, per_round: usize) -> Result<Self> {
        let session = layer.open().await?;
        let waiting = VecDeque::new();
        let tool = Tool::Lag(count);
        let mut work = Self { layer, session, tool, next: 1, waiting, per_round };
        for _ in 0..count {
            let message = call(&work.layer, work.next, tool, "hello")?;
            work.next += 1;
            work.waiting.push_back(work.layer.send(&work.session, message).await?);
        }
        for _ in 0..3 {
            work.round().await?;
        }
        Ok(work)
    }
}

impl<L: SessionLayer> Workload for PendingRequests<L> {
    async fn round(&mut self) -> Result<Readings> {
        let mut messages = Vec::with_capacity(self.per_round);
        for _ in 0..self.per_round {
            messages.push(call(&self.layer, self.next, self.tool, "hello")?);
            self.next += 1;
        }
        let start = Instant::now();
        for message in messages {
            self.waiting.push_back(self.layer.send(&self.session, message).await?);
            if let Some(mut oldest) = self.waiting.pop_front() {
                ensure!(drain(&self.layer, &mut oldest).await? > 0, "there is no answer");
            }
        }
        Ok(vec![(TIME, nanoseconds(start, self.per_round))])
    }
}
