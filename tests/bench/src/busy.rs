//! Memory of sessions that have answered many requests.

use anyhow::Result;

use crate::{
    layer::{Limits, Rejoin, Rmcp, RmcpHttp, SessionLayer, call, drain},
    measure::{Flavor, Metric, Trial, interleave},
    message::Tool,
    options::{LayerName, Sizing},
    process::{Process, measure_in_own_process},
    report::Report,
};

const REJOIN: &str = "rejoin + rmcp service";
const RMCP: &str = "rmcp + rmcp service";
const PEAK: Metric = Metric::cost("peak memory", "bytes");
const RESTING: Metric = Metric::cost("resting memory", "bytes");

/// Runs every subject in a process of its own.
pub(crate) fn run(sizing: &Sizing, report: &mut Report) -> Result<()> {
    let (sessions, calls) = (sizing.busy_sessions, sizing.busy_calls);
    let workload = format!("{sessions} sessions after {calls} requests each");
    let mut trials = [(REJOIN, LayerName::Rejoin), (RMCP, LayerName::Rmcp)]
        .map(|(subject, layer)| trial(&workload, subject, layer, sessions, calls));
    report.add(interleave(sizing.busy_rounds, &mut trials)?);
    report.compare(&workload, REJOIN, RMCP);
    Ok(())
}

fn trial(
    workload: &str,
    subject: &'static str,
    layer: LayerName,
    sessions: usize,
    calls: usize,
) -> Trial {
    let name = layer.argument();
    let round = Box::new(move || {
        let arguments =
            ["busy".to_owned(), name.to_owned(), sessions.to_string(), calls.to_string()];
        measure_in_own_process(&arguments, &[PEAK, RESTING])
    });
    Trial { workload: workload.to_owned(), subject, round }
}

/// Keeps sessions busy in this process, and prints its peak and its resting memory in bytes.
#[expect(clippy::print_stdout, reason = "the process that runs this one reads it")]
pub(crate) fn keep_busy(layer: LayerName, sessions: usize, calls: usize) -> Result<()> {
    let (peak, resting) = Flavor::CurrentThread.runtime()?.block_on(async {
        let limits = Limits { sessions: Some(sessions), ..Limits::default() };
        match layer {
            LayerName::Rejoin | LayerName::Inline => {
                measure(Rejoin::with_service(limits)?, sessions, calls).await
            }
            LayerName::Rmcp => measure(Rmcp::with_service(), sessions, calls).await,
            LayerName::DropIn => measure(RmcpHttp::with_rejoin(limits)?, sessions, calls).await,
            LayerName::DropInBaseline => measure(RmcpHttp::with_rmcp(), sessions, calls).await,
        }
    })?;
    println!("{peak} {resting}");
    Ok(())
}

async fn measure<L: SessionLayer>(layer: L, sessions: usize, calls: usize) -> Result<(f64, f64)> {
    let process = Process::this();
    let mut open = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        open.push(layer.open().await?);
    }
    for id in 1..=i64::try_from(calls)? {
        for session in &open {
            let mut stream = layer.send(session, call(&layer, id, Tool::Echo, "hello")?).await?;
            drain(&layer, &mut stream).await?;
        }
    }
    Ok((process.peak_memory_bytes()?, process.memory_bytes()?))
}
