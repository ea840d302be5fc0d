//! The HTTP service of the crate `rmcp` with the session manager of rejoin, compared with that of
//! `rmcp` itself.

use anyhow::Result;

use crate::{
    idle::hold_trial,
    layer::{Limits, RmcpHttp},
    measure::{Flavor, interleave, trial},
    options::{LayerName, Sizing},
    report::Report,
    workloads::{Creations, Requests, Scenario},
};

const REJOIN: &str = "rejoin drop-in";
const RMCP: &str = "rmcp";

/// Numbers of other open streams of the session.
const OPEN: [usize; 3] = [0, 1_000, 10_000];

/// Number of requests per round.
const PER_ROUND: usize = 1_000;

/// Runs the section.
pub(crate) fn run(sizing: &Sizing, report: &mut Report) -> Result<()> {
    calls(sizing, report)?;
    creations(1_000, sizing, report)?;
    memory(1_000, sizing, report)
}

/// Measures calls in a session with many streams; its limits are raised for that.
fn calls(sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let limits = Limits { streams: Some(20_000), ..Limits::default() };
    let workload = |open_streams| format!("drop-in call, {open_streams} other open streams");
    let mut trials = Vec::new();
    for open_streams in OPEN {
        let scenario =
            Scenario { sessions: 1, other_sessions: 0, open_streams, per_round: PER_ROUND };
        let (rejoin, rmcp) = (RmcpHttp::with_rejoin(limits)?, RmcpHttp::with_rmcp());
        let name = workload(open_streams);
        trials.push(trial(&name, REJOIN, flavor, Requests::prepare(rejoin, scenario))?);
        trials.push(trial(&name, RMCP, flavor, Requests::prepare(rmcp, scenario))?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&OPEN.map(workload), REJOIN, RMCP);
    Ok(())
}

fn creations(count: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let many = Limits { sessions: Some(count), ..Limits::default() };
    let rejoin = Creations::new(move || RmcpHttp::with_rejoin(many), count);
    let rmcp = Creations::new(|| Ok(RmcpHttp::with_rmcp()), count);
    let workload = &format!("drop-in, {count} sessions created");
    let mut trials = [
        trial(workload, REJOIN, flavor, std::future::ready(Ok(rejoin)))?,
        trial(workload, RMCP, flavor, std::future::ready(Ok(rmcp)))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(workload, REJOIN, RMCP);
    Ok(())
}

/// Measures idle sessions, each time in a process of its own.
fn memory(count: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let workload = &format!("drop-in, one of {count} idle sessions");
    let mut trials = [(REJOIN, LayerName::DropIn), (RMCP, LayerName::DropInBaseline)]
        .map(|(subject, layer)| hold_trial(workload, subject, layer, count, None));
    report.add(interleave(sizing.heavy_rounds, &mut trials)?);
    report.compare(workload, REJOIN, RMCP);
    Ok(())
}
