//! Many streams, and much on one stream.

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
const CPU_TIME: Metric = Metric::cost("processor", "ms");
const MEMORY: Metric = Metric::cost("memory", "KiB per client");
const IDLE_CPU: Metric = Metric::cost("processor, idle", "% of a core");

/// How many clients begin at once where that is not what is measured.
const CONCURRENT_CONNECTS: usize = 64;

/// How many calls are made one after the other, as one of them takes hardly any time.
const CALLS: usize = 20;

/// Reads a stream with many events, again and again; what it takes for one of them.
pub(crate) async fn events(server: &Server, count: usize) -> Result<Readings> {
    let mut session = Session::create(server.address, "/").await?;
    let mut client = Client::connect(server.address).await?;
    let before = server.process().cpu_seconds()?;
    let start = Instant::now();
    for _ in 0..CALLS {
        let (status, said) = client.exchange(session.call(Tool::Events(count), "done")).await?;
        let events = memchr::memmem::find_iter(said, "notifications/progress").count();
        ensure!(status == 200 && events == count, "there were {events} events");
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1e3 / CALLS as f64;
    let processor = server.process().cpu_seconds()? - before;
    Ok(vec![(TIME, milliseconds), (CPU_TIME, processor * 1e3 / CALLS as f64)])
}

/// Clients that hold their standalone streams open.
pub(crate) struct StreamClients {
    members: Vec<StreamClient>,
}

struct StreamClient {
    session: Session,
    client: Client,
    last_event_id: String,
}

impl StreamClients {
    /// Begins so many sessions, and opens the standalone stream of each.
    pub(crate) async fn connect(server: &Server, count: usize) -> Result<Self> {
        let mut members = Vec::new();
        while members.len() < count {
            let mut joining = JoinSet::new();
            for _ in 0..CONCURRENT_CONNECTS.min(count - members.len()) {
                joining.spawn(StreamClient::connect(server.address));
            }
            while let Some(member) = joining.join_next().await {
                members.push(member??);
            }
        }
        Ok(Self { members })
    }

    /// Has every client lose its connection, miss something, and come back, all at once.
    pub(crate) async fn reconnect_all(
        self,
        server: &Server,
        seed: u64,
    ) -> Result<(Self, Readings)> {
        let mut away = Vec::new();
        for StreamClient { mut session, client, last_event_id } in self.members {
            drop(client);
            let mut caller = Client::connect(session.address).await?;
            let (status, _) = caller.exchange(session.call(Tool::Announce, "done")).await?;
            ensure!(status == 200, "the announcement was refused with {status}");
            away.push((session, last_event_id));
        }
        Random::new(seed).shuffle(&mut away);
        let before = server.process().cpu_seconds()?;
        let start = Instant::now();
        let mut returning = JoinSet::new();
        for (session, last_event_id) in away {
            returning.spawn(StreamClient::resume(session, last_event_id));
        }
        let mut members = Vec::new();
        while let Some(member) = returning.join_next().await {
            members.push(member??);
        }
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let processor = (server.process().cpu_seconds()? - before) * 1e3;
        Ok((Self { members }, vec![(TIME, milliseconds), (CPU_TIME, processor)]))
    }
}

impl StreamClient {
    async fn connect(address: std::net::SocketAddr) -> Result<Self> {
        let session = Session::create(address, "/").await?;
        let mut client = Client::connect(address).await?;
        let said = client.read_until(&session.get(None), b"data:").await?;
        let last_event_id = event_id(said)?;
        Ok(Self { session, client, last_event_id })
    }

    async fn resume(session: Session, last_event_id: String) -> Result<Self> {
        let mut client = Client::connect(session.address).await?;
        let request = session.get(Some(&last_event_id));
        let said = client.read_until(&request, b"notifications/news").await?;
        let last_event_id = event_id(said).context("what was missed has no id")?;
        Ok(Self { session, client, last_event_id })
    }
}

/// Watches what so many clients take who do nothing.
pub(crate) async fn idle(server: &Server, count: usize, watch: Duration) -> Result<Readings> {
    let before = server.process().memory_bytes()?;
    let crowd = StreamClients::connect(server, count).await?;
    let memory = (server.process().memory_bytes()? - before) / 1024.0 / count as f64;
    let before = server.process().cpu_seconds()?;
    tokio::time::sleep(watch).await;
    let processor = server.process().cpu_seconds()? - before;
    drop(crowd);
    Ok(vec![(MEMORY, memory), (IDLE_CPU, 100.0 * processor / watch.as_secs_f64())])
}
