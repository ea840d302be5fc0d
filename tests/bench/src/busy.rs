//! Memory of sessions that have answered many requests.

use std::{env, process::Command};

use anyhow::{Result, ensure};

use crate::{
    layer::{Limits, Rejoin, Rmcp, SessionLayer, call, drain},
    measure::{Flavor, Metric, Readings, Trial, interleave},
    message::Tool,
    options::{LayerName, Sizing},
    process::Process,
    report::Report,
};

const PEAK: Metric = Metric::cost("peak memory", "bytes");
const RESTING: Metric = Metric::cost("resting memory", "bytes");

/// Runs every subject in a process of its own.
pub(crate) fn run(sizing: &Sizing, report: &mut Report) -> Result<()> {
    let (sessions, calls) = (sizing.busy_sessions, sizing.busy_calls);
    let workload = format!("{sessions} sessions after {calls} requests each");
    let mut trials =
        [LayerName::Rejoin, LayerName::Rmcp].map(|layer| trial(&workload, layer, sessions, calls));
    report.add(interleave(sizing.busy_rounds, &mut trials)?);
    report.compare(&workload, subject(LayerName::Rejoin), subject(LayerName::Rmcp));
    Ok(())
}

fn subject(layer: LayerName) -> &'static str {
    match layer {
        LayerName::Rejoin | LayerName::Inline => "rejoin + rmcp service",
        LayerName::Rmcp => "rmcp + rmcp service",
    }
}

fn trial(workload: &str, layer: LayerName, sessions: usize, calls: usize) -> Trial {
    let name = match layer {
        LayerName::Rejoin | LayerName::Inline => "rejoin",
        LayerName::Rmcp => "rmcp",
    };
    let round = Box::new(move || {
        let mut command = Command::new(env::current_exe()?);
        let output =
            command.args(["busy", name, &sessions.to_string(), &calls.to_string()]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout)?;
        let values = printed.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        ensure!(values.len() == 2, "it printed {printed}");
        Ok([PEAK, RESTING].into_iter().zip(values).collect::<Readings>())
    });
    Trial { workload: workload.to_owned(), subject: subject(layer), round }
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
