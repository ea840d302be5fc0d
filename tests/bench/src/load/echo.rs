//! Calls over connections that are kept alive, each as soon as the last one is answered.

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
pub(super) const CPU_TIME: Metric = Metric::cost("processor", "s per 10,000");
/// What the load itself takes. It has one thread, so a server that takes less waits for it.
const LOAD_CPU_TIME: Metric = Metric::cost("processor of the load", "s per 10,000");

/// How many calls each connection makes before anything is measured.
const WARMUP_CALLS: usize = 20;

/// Calls through as many connections as there are sessions, for a while.
pub(crate) async fn measure(
    process: Process,
    sessions: &mut Vec<Session>,
    text: &str,
    window: Duration,
) -> Result<Readings> {
    let mut callers = Vec::new();
    for session in sessions.drain(..) {
        callers.push(EchoClient::connect(session, text).await?);
    }
    let callers = run(callers, Until::Calls(WARMUP_CALLS)).await?;
    let before = (process.cpu_seconds()?, Process::this().cpu_seconds()?);
    let start = Instant::now();
    let callers = run(callers, Until::Time(start + window)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let processor = process.cpu_seconds()? - before.0;
    let load = Process::this().cpu_seconds()? - before.1;
    let mut latencies: Vec<f64> =
        callers.iter().flat_map(|caller| caller.latencies.iter().copied()).collect();
    latencies.sort_by(f64::total_cmp);
    sessions.extend(callers.into_iter().map(|caller| caller.session));
    let count = latencies.len() as f64;
    Ok(vec![
        (RATE, count / seconds),
        (MEDIAN, quantile(&latencies, 0.5)),
        (TAIL, quantile(&latencies, 0.99)),
        (CPU_TIME, processor / count * 1e4),
        (LOAD_CPU_TIME, load / count * 1e4),
    ])
}

/// Calls so many times in each of some sessions.
pub(crate) async fn warm_up(sessions: &mut Vec<Session>, text: &str, calls: usize) -> Result<()> {
    let mut callers = Vec::new();
    for session in sessions.drain(..) {
        callers.push(EchoClient::connect(session, text).await?);
    }
    let callers = run(callers, Until::Calls(calls)).await?;
    sessions.extend(callers.into_iter().map(|caller| caller.session));
    Ok(())
}

/// When it is enough.
#[derive(Clone, Copy, Debug)]
enum Until {
    Calls(usize),
    Time(Instant),
}

async fn run(callers: Vec<EchoClient>, until: Until) -> Result<Vec<EchoClient>> {
    let mut running = JoinSet::new();
    for caller in callers {
        running.spawn(caller.run(until));
    }
    let mut done = Vec::new();
    while let Some(caller) = running.join_next().await {
        done.push(caller??);
    }
    Ok(done)
}

/// One client.
struct EchoClient {
    session: Session,
    client: Client,
    text: String,
    /// In microseconds.
    latencies: Vec<f64>,
}

impl EchoClient {
    async fn connect(session: Session, text: &str) -> Result<Self> {
        let client = Client::connect(session.address).await?;
        Ok(Self { session, client, text: text.to_owned(), latencies: Vec::new() })
    }

    async fn run(mut self, until: Until) -> Result<Self> {
        self.latencies.clear();
        let mut start = Instant::now();
        loop {
            let is_enough = match until {
                Until::Calls(count) => self.latencies.len() >= count,
                Until::Time(end) => start >= end,
            };
            if is_enough {
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
        let (status, said) = self.client.exchange(request).await.context("a call failed")?;
        let is_echo = status == 200 && memmem::find(said, self.text.as_bytes()).is_some();
        ensure!(is_echo, "the answer is {}", String::from_utf8_lossy(said));
        Ok(())
    }
}
