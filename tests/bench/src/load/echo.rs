//! Closed-loop echo calls over keep-alive connections.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use tokio::task::JoinSet;

use super::{client::Client, session::Session};
use crate::{
    measure::{Metric, Readings},
    message::Tool,
    process::Process,
    report::quantile,
};

pub(super) const RATE: Metric = Metric::rate("throughput", "requests per s");
pub(super) const MEDIAN: Metric = Metric::cost("p50", "µs");
pub(super) const TAIL: Metric = Metric::cost("p99", "µs");
pub(super) const CPU_TIME: Metric = Metric::cost("CPU time", "s per 10,000");
/// The load generator has one thread: a server that takes less CPU time than it is idle at times.
const LOAD_CPU_TIME: Metric = Metric::cost("CPU time of the load generator", "s per 10,000");

/// Number of calls of each connection before the measurement.
const WARMUP_CALLS: usize = 20;

/// Calls for a while, through one connection per session.
pub(crate) async fn measure(
    process: Process,
    sessions: &mut Vec<Session>,
    text: &str,
    window: Duration,
) -> Result<Readings> {
    let mut clients = Vec::new();
    for session in sessions.drain(..) {
        clients.push(EchoClient::connect(session, text).await?);
    }
    let clients = run(clients, Until::Calls(WARMUP_CALLS)).await?;
    let before = (process.cpu_seconds()?, Process::this().cpu_seconds()?);
    let start = Instant::now();
    let clients = run(clients, Until::Time(start + window)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = process.cpu_seconds()? - before.0;
    let load = Process::this().cpu_seconds()? - before.1;
    let mut latencies: Vec<f64> =
        clients.iter().flat_map(|client| client.latencies.iter().copied()).collect();
    latencies.sort_by(f64::total_cmp);
    sessions.extend(clients.into_iter().map(|client| client.session));
    let count = latencies.len() as f64;
    Ok(vec![
        (RATE, count / seconds),
        (MEDIAN, quantile(&latencies, 0.5)),
        (TAIL, quantile(&latencies, 0.99)),
        (CPU_TIME, cpu / count * 1e4),
        (LOAD_CPU_TIME, load / count * 1e4),
    ])
}

/// Makes `calls` calls in each session.
pub(crate) async fn warm_up(sessions: &mut Vec<Session>, text: &str, calls: usize) -> Result<()> {
    let mut clients = Vec::new();
    for session in sessions.drain(..) {
        clients.push(EchoClient::connect(session, text).await?);
    }
    let clients = run(clients, Until::Calls(calls)).await?;
    sessions.extend(clients.into_iter().map(|client| client.session));
    Ok(())
}

/// When a client stops.
#[derive(Clone, Copy, Debug)]
enum Until {
    Calls(usize),
    Time(Instant),
}

async fn run(clients: Vec<EchoClient>, until: Until) -> Result<Vec<EchoClient>> {
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.run(until));
    }
    let mut done = Vec::new();
    while let Some(client) = running.join_next().await {
        done.push(client??);
    }
    Ok(done)
}

/// A client of one session.
struct EchoClient {
    session: Session,
    client: Client,
    text: String,
    /// In microseconds.
    latencies: Vec<f64>,
}

impl EchoClient {
    async fn connect(session: Session, text: &str) -> Result<Self> {
        let client = Client::connect(session.endpoint.clone()).await?;
        Ok(Self { session, client, text: text.to_owned(), latencies: Vec::new() })
    }

    async fn run(mut self, until: Until) -> Result<Self> {
        self.latencies.clear();
        let mut start = Instant::now();
        loop {
            let is_done = match until {
                Until::Calls(count) => self.latencies.len() >= count,
                Until::Time(end) => start >= end,
            };
            if is_done {
                return Ok(self);
            }
            self.call().await?;
            let end = Instant::now();
            self.latencies.push((end - start).as_secs_f64() * 1e6);
            start = end;
        }
    }

    async fn call(&mut self) -> Result<()> {
        let request = self.session.call(Tool::Echo, &self.text);
        let (status, response) = self.client.exchange(request).await.context("a call failed")?;
        let is_echo = status == 200 && memmem::find(response, self.text.as_bytes()).is_some();
        ensure!(is_echo, "unexpected response: {}", String::from_utf8_lossy(response));
        Ok(())
    }
}
