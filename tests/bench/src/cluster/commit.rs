//! Bare commits: a client of the store that only appends entries.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, cmd};
use tokio::task::JoinSet;

use crate::{
    load::{CPU_TIME, MEDIAN, RATE, TAIL},
    measure::Readings,
    process::Process,
    report::quantile,
};

use super::ENGINE_CPU_TIME;

/// Size of an entry: about that of an echo call.
const ENTRY_BYTES: usize = 220;

/// Appends entries to `logs` logs for a while, to each of them one at a time, over one connection.
pub(super) async fn measure(
    url: &str,
    engine: Process,
    logs: usize,
    window: Duration,
) -> Result<Readings> {
    let config = AsyncConnectionConfig::new().set_pipeline_buffer_size(logs);
    let client = Client::open(url)?;
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let (client_before, engine_before) = (Process::this().cpu_seconds()?, engine.cpu_seconds()?);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for log in 0..logs {
        running.spawn(append(connection.clone(), format!("log:{log}"), start + window));
    }
    let mut latencies = Vec::new();
    while let Some(appended) = running.join_next().await {
        latencies.extend(appended??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let client = Process::this().cpu_seconds()? - client_before;
    let engine = engine.cpu_seconds()? - engine_before;
    latencies.sort_by(f64::total_cmp);
    let count = latencies.len() as f64;
    Ok(vec![
        (RATE, count / seconds),
        (MEDIAN, quantile(&latencies, 0.5)),
        (TAIL, quantile(&latencies, 0.99)),
        (CPU_TIME, client / count * 1e4),
        (ENGINE_CPU_TIME, engine / count * 1e4),
    ])
}

/// Appends entries to a log until `end`, and removes it. Returns the latencies in microseconds.
async fn append(
    mut connection: MultiplexedConnection,
    log: String,
    end: Instant,
) -> Result<Vec<f64>> {
    let entry = vec![b'e'; ENTRY_BYTES];
    let () =
        cmd("XADD").arg(&log).arg("1-0").arg("e").arg(&entry).query_async(&mut connection).await?;
    let mut latencies = Vec::new();
    let mut start = Instant::now();
    while start < end {
        let mut append = cmd("XADD");
        let id = format!("1-{}", latencies.len() + 1);
        append.arg(&log).arg("NOMKSTREAM").arg(id).arg("e").arg(&entry);
        let id: Option<String> = append.query_async(&mut connection).await?;
        ensure!(id.is_some(), "the log is gone");
        let now = Instant::now();
        latencies.push((now - start).as_secs_f64() * 1e6);
        start = now;
    }
    let () = cmd("UNLINK").arg(&log).query_async(&mut connection).await?;
    Ok(latencies)
}
