//! Requests and responses, one at a time.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call, drain},
    measure::{Readings, Workload},
    message::Tool,
};

/// Number of requests after which the logs of a session are full.
const SATURATING_REQUESTS: usize = 6_000;

/// Number of requests after which a session retains the maximum number of acknowledged streams.
const ACKNOWLEDGED_STREAMS: usize = 70;

/// More than the maximum number of unacknowledged streams that a session retains.
const UNACKNOWLEDGED_STREAMS: usize = 1_100;

/// Requests, one at a time, to the sessions in turn.
pub(crate) struct Requests<L: SessionLayer> {
    layer: L,
    sessions: Vec<L::Session>,
    next: i64,
    per_round: usize,
    /// Streams that stay open.
    held: Vec<L::Stream>,
}

/// Number of sessions, streams and requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Number of sessions that the requests are sent to, in turn.
    pub(crate) sessions: usize,
    /// Number of further sessions, without requests.
    pub(crate) other_sessions: usize,
    /// Number of other open streams.
    pub(crate) open_streams: usize,
    /// Number of requests per round.
    pub(crate) per_round: usize,
}

impl<L: SessionLayer> Requests<L> {
    /// Opens sessions, and fills their logs.
    pub(crate) async fn prepare(layer: L, scenario: Scenario) -> Result<Self> {
        let mut sessions = Vec::new();
        for _ in 0..scenario.sessions + scenario.other_sessions {
            sessions.push(layer.open().await?);
        }
        let per_round = scenario.per_round;
        let mut workload = Self { layer, sessions, next: 1, per_round, held: Vec::new() };
        // The manager keeps the other sessions.
        workload.sessions = workload.sessions.split_off(scenario.other_sessions);
        for _ in 0..ACKNOWLEDGED_STREAMS * workload.sessions.len() {
            workload.request().await?;
        }
        if workload.sessions.len() == 1 {
            for _ in 0..SATURATING_REQUESTS {
                workload.request().await?;
            }
            workload.leave_unacknowledged().await?;
        }
        for _ in 0..scenario.open_streams {
            let stream = workload.send(Tool::Hang(0)).await?;
            workload.held.push(stream);
        }
        Ok(workload)
    }

    async fn request(&mut self) -> Result<()> {
        let mut stream = self.send(Tool::Echo).await?;
        ensure!(drain(&self.layer, &mut stream).await? > 0, "no response");
        Ok(())
    }

    async fn leave_unacknowledged(&mut self) -> Result<()> {
        for _ in 0..UNACKNOWLEDGED_STREAMS {
            drop(self.send(Tool::Echo).await?);
        }
        self.request().await
    }

    async fn send(&mut self, tool: Tool) -> Result<L::Stream> {
        let message = call(&self.layer, self.next, tool, "hello")?;
        let turn = usize::try_from(self.next)? % self.sessions.len();
        let session = self.sessions.get(turn);
        self.next += 1;
        let session = session.ok_or_else(|| anyhow::anyhow!("no session"))?;
        self.layer.send(session, message).await
    }
}

impl<L: SessionLayer> Workload for Requests<L> {
    async fn round(&mut self) -> Result<Readings> {
        let mut messages = Vec::with_capacity(self.per_round);
        for id in self.next.. {
            if messages.len() == self.per_round {
                break;
            }
            messages.push(call(&self.layer, id, Tool::Echo, "hello")?);
        }
        self.next += self.per_round as i64;
        let mut sessions = self.sessions.iter().cycle();
        let start = Instant::now();
        for message in messages {
            let Some(session) = sessions.next() else { break };
            let mut stream = self.layer.send(session, message).await?;
            ensure!(drain(&self.layer, &mut stream).await? > 0, "no response");
        }
        Ok(vec![(TIME, nanoseconds(start, self.per_round))])
    }
}
