//! Many idle streams, and many events on one stream.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;

use super::{
    client::Client,
    random::Random,
    session::{Session, event_id},
};
use crate::{
    measure::{Metric, Readings},
    message::Tool,
    server::Server,
};

const TIME: Metric = Metric::cost("time", "ms");
const CPU_TIME: Metric = Metric::cost("CPU time", "ms");
const MEMORY: Metric = Metric::cost("memory", "KiB per client");
const IDLE_CPU: Metric = Metric::cost("CPU, idle", "% of a core");

/// Number of clients that connect concurrently, outside the measurement.
const CONCURRENT_CONNECTS: usize = 64;

/// Number of calls per round: a single one is too short to measure.
const CALLS: usize = 20;

/// Reads streams with many events, and returns the cost of one of them.
pub(crate) async fn events(server: &Server, count: usize) -> Result<Readings> {
    let mut session = Session::create(server.address, "/").await?;
    let mut client = Client::connect(server.address).await?;
    let before = server.process().cpu_seconds()?;
    let start = Instant::now();
    for _ in 0..CALLS {
        let (status, response) = client.exchange(session.call(Tool::Events(count), "done")).await?;
        let events = memchr::memmem::find_iter(response, "notifications/progress").count();
        ensure!(status == 200 && events == count, "expected {count} events, got {events}");
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1e3 / CALLS as f64;
    let cpu = server.process().cpu_seconds()? - before;
    Ok(vec![(TIME, milliseconds), (CPU_TIME, cpu * 1e3 / CALLS as f64)])
}

/// Clients with open standalone streams.
pub(crate) struct StreamClients {
    members: Vec<StreamClient>,
}

struct StreamClient {
    session: Session,
    client: Client,
    last_event_id: String,
}

impl StreamClients {
    /// Creates `count` sessions, and opens the standalone stream of each.
    pub(crate) async fn connect(server: &Server, count: usize) -> Result<Self> {
        let mut members = Vec::new();
        while members.len() < count {
            let mut connecting = JoinSet::new();
            for _ in 0..CONCURRENT_CONNECTS.min(count - members.len()) {
                connecting.spawn(StreamClient::connect(server.address));
            }
            while let Some(member) = connecting.join_next().await {
                members.push(member??);
            }
        }
        Ok(Self { members })
    }

    /// Drops all connections, sends a notification in each session, and resumes all streams at once.
    pub(crate) async fn reconnect_all(
        self,
        server: &Server,
        seed: u64,
    ) -> Result<(Self, Readings)> {
        let mut disconnected = Vec::new();
        for StreamClient { mut session, client, last_event_id } in self.members {
            drop(client);
            let mut announcer = Client::connect(session.endpoint.clone()).await?;
            let (status, _) = announcer.exchange(session.call(Tool::Announce, "done")).await?;
            ensure!(status == 200, "announcement failed with status {status}");
            disconnected.push((session, last_event_id));
        }
        Random::new(seed).shuffle(&mut disconnected);
        let before = server.process().cpu_seconds()?;
        let start = Instant::now();
        let mut resuming = JoinSet::new();
        for (session, last_event_id) in disconnected {
            resuming.spawn(StreamClient::resume(session, last_event_id));
        }
        let mut members = Vec::new();
        while let Some(member) = resuming.join_next().await {
            members.push(member??);
        }
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let cpu = (server.process().cpu_seconds()? - before) * 1e3;
        Ok((Self { members }, vec![(TIME, milliseconds), (CPU_TIME, cpu)]))
    }
}

impl StreamClient {
    async fn connect(address: std::net::SocketAddr) -> Result<Self> {
        let session = Session::create(address, "/").await?;
        let mut client = Client::connect(address).await?;
        let response = client.read_until(&session.get(None), b"data:").await?;
        let last_event_id = event_id(response)?;
        Ok(Self { session, client, last_event_id })
    }

    async fn resume(session: Session, last_event_id: String) -> Result<Self> {
        let mut client = Client::connect(session.endpoint.clone()).await?;
        let request = session.get(Some(&last_event_id));
        let response = client.read_until(&request, b"notifications/news").await?;
        let last_event_id = event_id(response).context("the replayed event has no id")?;
        Ok(Self { session, client, last_event_id })
    }
}

/// Measures memory and CPU time of `count` idle clients.
pub(crate) async fn idle(server: &Server, count: usize, duration: Duration) -> Result<Readings> {
    let before = server.process().memory_bytes()?;
    let clients = StreamClients::connect(server, count).await?;
    let memory = (server.process().memory_bytes()? - before) / 1024.0 / count as f64;
    let before = server.process().cpu_seconds()?;
    tokio::time::sleep(duration).await;
    let cpu = server.process().cpu_seconds()? - before;
    drop(clients);
    Ok(vec![(MEMORY, memory), (IDLE_CPU, 100.0 * cpu / duration.as_secs_f64())])
}
