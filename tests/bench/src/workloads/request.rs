//! A request, its response, and the end of its stream.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{TIME, nanoseconds};
use crate::{
    layer::{SessionLayer, call, drain},
    measure::{Readings, Workload},
    message::Tool,
};

/// How many requests a session needs until it has as much behind it as it keeps.
const SATURATING_REQUESTS: usize = 6_000;

/// How many requests a session needs until it keeps as many streams as it ever does whose
/// end was taken.
const ACKNOWLEDGED_STREAMS: usize = 70;

/// How many answers are kept at most that nobody took.
const UNACKNOWLEDGED_STREAMS: usize = 1_100;

/// Requests, one at a time, to one session after the other.
pub(crate) struct Requests<L: SessionLayer> {
    layer: L,
    sessions: Vec<L::Session>,
    next: i64,
    per_round: usize,
    /// Streams that are open all the time.
    held: Vec<L::Stream>,
}

/// What there is beside the requests that are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// How many sessions the requests go to, in turn.
    pub(crate) sessions: usize,
    /// How many more sessions there are.
    pub(crate) other_sessions: usize,
    /// How many streams are open in the first session.
    pub(crate) open_streams: usize,
    /// How many requests a round has.
    pub(crate) per_round: usize,
}

impl<L: SessionLayer> Requests<L> {
    /// Begins sessions, and fills what they keep.
    pub(crate) async fn prepare(layer: L, setting: Scenario) -> Result<Self> {
        let mut sessions = Vec::new();
        for _ in 0..setting.sessions + setting.other_sessions {
            sessions.push(layer.open().await?);
        }
        let per_round = setting.per_round;
        let mut work = Self { layer, sessions, next: 1, per_round, held: Vec::new() };
        // The others are left alone: their manager has them.
        work.sessions = work.sessions.split_off(setting.other_sessions);
        for _ in 0..ACKNOWLEDGED_STREAMS * work.sessions.len() {
            work.request().await?;
        }
        if work.sessions.len() == 1 {
            for _ in 0..SATURATING_REQUESTS {
                work.request().await?;
            }
            work.leave_unacknowledged().await?;
        }
        for _ in 0..setting.open_streams {
            let stream = work.send(Tool::Hang(0)).await?;
            work.held.push(stream);
        }
        Ok(work)
    }

    async fn request(&mut self) -> Result<()> {
        let mut stream = self.send(Tool::Echo).await?;
        ensure!(drain(&self.layer, &mut stream).await? > 0, "there is no answer");
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
        let session = session.ok_or_else(|| anyhow::anyhow!("there is no session"))?;
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
            ensure!(drain(&self.layer, &mut stream).await? > 0, "there is no answer");
        }
        Ok(vec![(TIME, nanoseconds(start, self.per_round))])
    }
}
