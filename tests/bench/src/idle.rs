//! Idle sessions: memory, CPU time, and punctual expiry.

use std::{
    sync::OnceLock,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rejoin::{Backend, ClientMessages, ClientSender, OpenError};

use crate::{
    backend::MessageForm,
    layer::{Limits, Rejoin, Rmcp, RmcpHttp, SessionLayer},
    measure::{Flavor, Metric, Trial, interleave},
    message::{self, Parsed},
    options::{LayerName, Sizing},
    process::{Process, measure_in_own_process},
    report::Report,
};

const MEMORY: Metric = Metric::cost("memory", "bytes");
const IDLE: Metric = Metric::cost("CPU, idle", "% of a core");
const EXPIRING: Metric = Metric::cost("CPU, including expiry", "% of a core");
const LATEST_EXPIRY: Metric = Metric::cost("latest expiry", "ms late");

/// Runs the section, each measurement in a process of its own.
pub(crate) fn run(sizing: &Sizing, report: &mut Report) -> Result<()> {
    for (count, rounds) in [(1_000, sizing.heavy_rounds), (sizing.idle_sessions, 1)] {
        let workload = format!("one of {count} idle sessions");
        let layers = [
            ("rejoin", LayerName::Rejoin),
            ("rejoin, inline", LayerName::Inline),
            ("rmcp", LayerName::Rmcp),
        ];
        let mut trials =
            layers.map(|(subject, layer)| hold_trial(&workload, subject, layer, count, None));
        report.add(interleave(rounds, &mut trials)?);
        report.compare(&workload, "rejoin", "rmcp");
        report.compare(&workload, "rejoin, inline", "rmcp");
    }
    let timeout = Some(sizing.idle_timeout);
    let count = sizing.idle_sessions;
    let seconds = sizing.idle_timeout.as_secs();
    let workload = format!("{count} idle sessions that expire after {seconds} s");
    let mut trials = [("rejoin", LayerName::Rejoin), ("rmcp", LayerName::Rmcp)]
        .map(|(subject, layer)| hold_trial(&workload, subject, layer, count, timeout));
    report.add(interleave(1, &mut trials)?);
    Ok(())
}

/// Creates a trial whose rounds hold sessions in processes of their own.
pub(crate) fn hold_trial(
    workload: &str,
    subject: &'static str,
    layer: LayerName,
    count: usize,
    timeout: Option<Duration>,
) -> Trial {
    let name = layer.argument();
    let round = Box::new(move || {
        let mut arguments = vec!["hold".to_owned(), name.to_owned(), count.to_string()];
        arguments.extend(timeout.map(|timeout| timeout.as_secs().to_string()));
        let metrics =
            if timeout.is_some() { &[IDLE, EXPIRING, LATEST_EXPIRY][..] } else { &[MEMORY] };
        measure_in_own_process(&arguments, metrics)
    });
    Trial { workload: workload.to_owned(), subject, round }
}

/// Holds idle sessions in this process, and prints their cost.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) fn hold_sessions(layer: LayerName, count: usize, timeout: Option<u64>) -> Result<()> {
    let timeout = timeout.map(Duration::from_secs);
    PROCESS_START.get_or_init(Instant::now);
    let values = Flavor::CurrentThread.runtime()?.block_on(async {
        match layer {
            LayerName::Rejoin => {
                let limits =
                    Limits { sessions: Some(count), idle_timeout: timeout, ..Limits::default() };
                measure_cost(Rejoin::new(CountingBackend, limits)?, count, timeout).await
            }
            LayerName::Inline => {
                let limits = Limits { sessions: Some(count), ..Limits::default() };
                measure_cost(
                    Rejoin::with_inline_handler(MessageForm::WithHead, limits)?,
                    count,
                    timeout,
                )
                .await
            }
            LayerName::Rmcp => {
                let rmcp = match timeout {
                    Some(timeout) => Rmcp::with_timeout(timeout, count_end),
                    None => Rmcp::with_handler(),
                };
                measure_cost(rmcp, count, timeout).await
            }
            LayerName::DropIn => {
                let limits = Limits { sessions: Some(count), ..Limits::default() };
                measure_cost(RmcpHttp::with_rejoin(limits)?, count, timeout).await
            }
            LayerName::DropInBaseline => measure_cost(RmcpHttp::with_rmcp(), count, timeout).await,
        }
    })?;
    println!("{}", values.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

async fn measure_cost<L: SessionLayer>(
    layer: L,
    count: usize,
    timeout: Option<Duration>,
) -> Result<Vec<f64>> {
    let this = Process::this();
    let before = this.memory_bytes()?;
    let mut created = Vec::with_capacity(count);
    for _ in 0..count {
        drop(layer.open().await?);
        created.push(millis());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let Some(timeout) = timeout else {
        return Ok(vec![(this.memory_bytes()? - before) / count as f64]);
    };
    let (first, last) =
        (created.first().context("no session")?, created.last().context("no session")?);
    let due = |created: u64| Duration::from_millis(created) + timeout;
    ensure!(
        due(*first) > Duration::from_millis(millis()),
        "creating the sessions took longer than their timeout"
    );
    let (start, before) = (millis(), this.cpu_seconds()?);
    let idle_period = due(*first).saturating_sub(Duration::from_millis(start + 500));
    tokio::time::sleep(idle_period).await;
    let idle = (this.cpu_seconds()? - before) / idle_period.as_secs_f64();
    let give_up = due(*last) + Duration::from_secs(30);
    while ENDED.load(Ordering::Relaxed) < count && Duration::from_millis(millis()) < give_up {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let missing = count - ENDED.load(Ordering::Relaxed);
    ensure!(missing == 0, "{missing} sessions have not expired");
    let seconds = Duration::from_millis(millis() - start).as_secs_f64();
    let expiring = (this.cpu_seconds()? - before) / seconds;
    let late = LAST_END.load(Ordering::Relaxed) as f64 - due(*last).as_secs_f64() * 1e3;
    Ok(vec![100.0 * idle, 100.0 * expiring, late])
}

/// When this process started.
static PROCESS_START: OnceLock<Instant> = OnceLock::new();
/// Number of sessions that have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);
/// When the last one ended, in milliseconds.
static LAST_END: AtomicU64 = AtomicU64::new(0);

fn millis() -> u64 {
    let elapsed = PROCESS_START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn count_end() {
    LAST_END.store(millis(), Ordering::Relaxed);
    ENDED.fetch_add(1, Ordering::Relaxed);
}

/// Responds to `initialize`, and counts sessions that end.
struct CountingBackend;

impl Backend for CountingBackend {
    async fn open(
        &self,
        client: ClientSender,
        mut messages: ClientMessages,
    ) -> Result<(), OpenError> {
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if let Parsed::Initialize = message::parse(&message) {
                    client.send(message::initialize_response(), None).await?;
                }
            }
            count_end();
            Ok::<(), OpenError>(())
        });
        Ok(())
    }
}
