//! Requests while many others are pending.

use std::{collections::VecDeque, time::Instant};

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call, drain},
    measure::{Readings, Workload},
    message::Tool,
};

/// Requests that are answered after a number of further requests: that many are always pending.
pub(crate) struct PendingRequests<L: SessionLayer> {
    layer: L,
    session: L::Session,
    tool: Tool,
    next: i64,
    streams: VecDeque<L::Stream>,
    per_round: usize,
}

impl<L: SessionLayer> PendingRequests<L> {
    /// Opens a session, and sends the first `count` requests.
    pub(crate) async fn prepare(layer: L, count: usize, per_round: usize) -> Result<Self> {
        let session = layer.open().await?;
        let streams = VecDeque::new();
        let tool = Tool::Lag(count);
        let mut workload = Self { layer, session, tool, next: 1, streams, per_round };
        for _ in 0..count {
            let message = call(&workload.layer, workload.next, tool, "hello")?;
            workload.next += 1;
            workload.streams.push_back(workload.layer.send(&workload.session, message).await?);
        }
        for _ in 0..3 {
            workload.round().await?;
        }
        Ok(workload)
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
            self.streams.push_back(self.layer.send(&self.session, message).await?);
            if let Some(mut oldest) = self.streams.pop_front() {
                ensure!(drain(&self.layer, &mut oldest).await? > 0, "no response");
            }
        }
        Ok(vec![(TIME, nanoseconds(start, self.per_round))])
    }
}
