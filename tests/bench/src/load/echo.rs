//! Closed-loop echo calls over keep-alive connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use tokio::task::JoinSet;

use super::{client::Client, endpoint::Endpoint, session::Session};
use crate::{
    measure::{Metric, Readings},
    message::Tool,
    process::Process,
    report::quantile,
};

pub(crate) const RATE: Metric = Metric::rate("throughput", "requests per s");
pub(crate) const MEDIAN: Metric = Metric::cost("p50", "µs");
pub(crate) const TAIL: Metric = Metric::cost("p99", "µs");
pub(crate) const CPU_TIME: Metric = Metric::cost("CPU time", "s per 10,000");
/// The load generator has one thread: a server that takes less CPU time than it is idle at times.
const LOAD_CPU_TIME: Metric = Metric::cost("CPU time of the load generator", "s per 10,000");

/// Number of calls of each connection before the measurement.
const WARMUP_CALLS: usize = 20;

/// Where calls go, and whose CPU time they take.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The calls of each client go to these in turn, over a connection to each.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) costs: Vec<(Metric, Vec<Process>)>,
}

/// Calls for a while, through one connection per session.
pub(crate) async fn measure(
    process: Process,
    sessions: &mut Vec<Session>,
    text: &str,
    window: Duration,
) -> Result<Readings> {
    let target = Target { endpoints: Vec::new(), costs: vec![(CPU_TIME, vec![process])] };
    measure_target(&target, sessions, text, window).await
}

/// Calls for a while, through one client per session.
pub(crate) async fn measure_target(
    target: &Target,
    sessions: &mut Vec<Session>,
    text: &str,
    window: Duration,
) -> Result<Readings> {
    let mut clients = Vec::new();
    for (number, session) in sessions.drain(..).enumerate() {
        clients.push(EchoClient::connect(session, &target.endpoints, number, text).await?);
    }
    let clients = run(clients, Until::Calls(WARMUP_CALLS)).await?;
    let before = target.cpu_seconds()?;
    let load_before = Process::this().cpu_seconds()?;
    let start = Instant::now();
    let clients = run(clients, Until::Time(start + window)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let after = target.cpu_seconds()?;
    let load = Process::this().cpu_seconds()? - load_before;
    let mut latencies: Vec<f64> =
        clients.iter().flat_map(|client| client.latencies.iter().copied()).collect();
    latencies.sort_by(f64::total_cmp);
    sessions.extend(clients.into_iter().map(|client| client.session));
    let count = latencies.len() as f64;
    let mut readings = vec![
        (RATE, count / seconds),
        (MEDIAN, quantile(&latencies, 0.5)),
        (TAIL, quantile(&latencies, 0.99)),
    ];
    let costs = before.into_iter().zip(after);
    readings.extend(
        costs.map(|((metric, before), (_, after))| (metric, (after - before) / count * 1e4)),
    );
    readings.push((LOAD_CPU_TIME, load / count * 1e4));
    Ok(readings)
}

impl Target {
    /// Returns the CPU time of each group of processes so far.
    fn cpu_seconds(&self) -> Result<Readings> {
        let total = |(metric, processes): &(Metric, Vec<Process>)| {
            let seconds = processes.iter().map(|process| process.cpu_seconds());
            Ok((*metric, seconds.sum::<Result<f64>>()?))
        };
        self.costs.iter().map(total).collect()
    }
}

/// Makes `calls` calls in each session.
pub(crate) async fn warm_up(sessions: &mut Vec<Session>, text: &str, calls: usize) -> Result<()> {
    let mut clients = Vec::new();
    for session in sessions.drain(..) {
        clients.push(EchoClient::connect(session, &[], 0, text).await?);
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

/// A client of one session, with one request at a time.
struct EchoClient {
    session: Session,
    /// The connections that requests use in turn.
    clients: Vec<(SocketAddr, Client)>,
    turn: usize,
    text: String,
    /// In microseconds.
    latencies: Vec<f64>,
}

impl EchoClient {
    /// Connects to all endpoints, or if there are none, to that of the session.
    async fn connect(
        session: Session,
        endpoints: &[Endpoint],
        turn: usize,
        text: &str,
    ) -> Result<Self> {
        let mut clients = Vec::new();
        let own = endpoints.is_empty().then_some(&session.endpoint);
        for endpoint in own.into_iter().chain(endpoints) {
            clients.push((endpoint.address, Client::connect(endpoint.clone()).await?));
        }
        Ok(Self { session, clients, turn, text: text.to_owned(), latencies: Vec::new() })
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
        let count = self.clients.len();
        let next = self.clients.get_mut(self.turn % count).context("no connection")?;
        self.turn += 1;
        let (address, client) = next;
        self.session.endpoint.address = *address;
        let request = self.session.call(Tool::Echo, &self.text);
        let (status, response) = client.exchange(request).await.context("a call failed")?;
        let is_echo = status == 200 && memmem::find(response, self.text.as_bytes()).is_some();
        ensure!(is_echo, "unexpected response: {}", String::from_utf8_lossy(response));
        Ok(())
    }
}
