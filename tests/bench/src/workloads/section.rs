//! The section of the session layers: subjects, workloads and comparisons.

use anyhow::Result;

use super::{
    create::Creations,
    pending::PendingRequests,
    progress::Progress,
    request::{Requests, Scenario},
    resume::Resumes,
};
use crate::{
    backend::MessageForm,
    layer::{ChannelHop, Json, Limits, Rejoin, Rmcp, SessionLayer},
    measure::{Flavor, Trial, interleave, plural, trial},
    options::Sizing,
    report::Report,
};

/// rejoin with a handler in a task.
const REJOIN: &str = "rejoin";
/// rejoin with an inline handler.
const REJOIN_INLINE: &str = "rejoin, inline";
/// rejoin with a service of rmcp.
const REJOIN_SERVICE: &str = "rejoin + rmcp service";
/// The sessions of rmcp with a handler in a task.
const RMCP: &str = "rmcp";
/// The sessions of rmcp with a service of rmcp.
const RMCP_SERVICE: &str = "rmcp + rmcp service";
/// A channel to a task and back.
const HOP: &str = "mpsc + oneshot";

/// Number of requests per round.
const PER_ROUND: usize = 2_000;

/// A single session.
const ONE: Scenario =
    Scenario { sessions: 1, other_sessions: 0, open_streams: 0, per_round: PER_ROUND };

/// Runs the section.
pub(crate) fn run(sizing: &Sizing, report: &mut Report) -> Result<()> {
    for (name, flavor) in
        [("current-thread", Flavor::CurrentThread), ("multi-thread", Flavor::MultiThread)]
    {
        requests(name, flavor, sizing, report)?;
        progress(name, flavor, sizing, report)?;
        for count in [1_000, 10_000] {
            create(count, name, flavor, sizing, report)?;
        }
    }
    among_streams(sizing, report)?;
    pending(sizing, report)?;
    among_sessions(sizing, report)?;
    for events in [1, 16, 256, 900] {
        resume(events, sizing, report)?;
    }
    Ok(())
}

/// Measures parsed messages, as in the interface of the sessions of `rmcp`, and then from JSON to
/// JSON, as in the HTTP services of both.
fn requests(name: &str, flavor: Flavor, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let limits = Limits::default();
    let workload = &format!("request and response, {name}");
    let mut trials = [
        request(
            workload,
            REJOIN,
            flavor,
            Rejoin::with_handler(MessageForm::WithHead, limits)?,
            ONE,
        )?,
        request(
            workload,
            REJOIN_INLINE,
            flavor,
            Rejoin::with_inline_handler(MessageForm::WithHead, limits)?,
            ONE,
        )?,
        request(workload, RMCP, flavor, Rmcp::with_handler(), ONE)?,
        request(workload, HOP, flavor, ChannelHop, ONE)?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(workload, REJOIN_INLINE, RMCP);
    report.compare(workload, REJOIN, RMCP);

    let workload = &format!("request and response in JSON, {name}");
    let mut trials = [
        request(
            workload,
            REJOIN,
            flavor,
            Json(Rejoin::with_handler(MessageForm::Json, limits)?),
            ONE,
        )?,
        request(
            workload,
            REJOIN_INLINE,
            flavor,
            Json(Rejoin::with_inline_handler(MessageForm::Json, limits)?),
            ONE,
        )?,
        request(workload, RMCP, flavor, Json(Rmcp::with_handler()), ONE)?,
        request(workload, REJOIN_SERVICE, flavor, Json(Rejoin::with_service(limits)?), ONE)?,
        request(workload, RMCP_SERVICE, flavor, Json(Rmcp::with_service()), ONE)?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(workload, REJOIN_INLINE, RMCP);
    report.compare(workload, REJOIN, RMCP);
    report.compare(workload, REJOIN_SERVICE, RMCP_SERVICE);
    Ok(())
}

fn request<L: SessionLayer>(
    workload: &str,
    subject: &'static str,
    flavor: Flavor,
    layer: L,
    scenario: Scenario,
) -> Result<Trial> {
    trial(workload, subject, flavor, Requests::prepare(layer, scenario))
}

fn progress(name: &str, flavor: Flavor, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let limits = Limits::default();
    let workload = &format!("progress event, {name}");
    let rejoin = Rejoin::with_handler(MessageForm::WithHead, limits)?;
    let mut trials = [
        trial(workload, REJOIN, flavor, Progress::prepare(rejoin))?,
        trial(workload, RMCP, flavor, Progress::prepare(Rmcp::with_handler()))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(workload, REJOIN, RMCP);

    let workload = &format!("progress event in JSON, {name}");
    let rejoin = Json(Rejoin::with_handler(MessageForm::Json, limits)?);
    let service = Json(Rejoin::with_service(limits)?);
    let mut trials = [
        trial(workload, REJOIN, flavor, Progress::prepare(rejoin))?,
        trial(workload, RMCP, flavor, Progress::prepare(Json(Rmcp::with_handler())))?,
        trial(workload, REJOIN_SERVICE, flavor, Progress::prepare(service))?,
        trial(workload, RMCP_SERVICE, flavor, Progress::prepare(Json(Rmcp::with_service())))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(workload, REJOIN, RMCP);
    report.compare(workload, REJOIN_SERVICE, RMCP_SERVICE);
    Ok(())
}

/// Measures requests in a session with many streams; its limits are raised for that.
fn among_streams(sizing: &Sizing, report: &mut Report) -> Result<()> {
    const OPEN: [usize; 4] = [0, 100, 1_000, 10_000];
    let flavor = Flavor::CurrentThread;
    let limits = Limits { streams: Some(20_000), ..Limits::default() };
    let workload =
        |open_streams| format!("request and response, {open_streams} other open streams");
    let mut trials = Vec::new();
    for open_streams in OPEN {
        let scenario = Scenario { open_streams, ..ONE };
        trials.push(request(
            &workload(open_streams),
            REJOIN,
            flavor,
            Rejoin::with_handler(MessageForm::WithHead, limits)?,
            scenario,
        )?);
        trials.push(request(
            &workload(open_streams),
            RMCP,
            flavor,
            Rmcp::with_handler(),
            scenario,
        )?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&OPEN.map(workload), REJOIN, RMCP);
    Ok(())
}

fn pending(sizing: &Sizing, report: &mut Report) -> Result<()> {
    const PENDING: [usize; 2] = [0, 1_000];
    let flavor = Flavor::CurrentThread;
    let workload = |count| format!("request and response, {count} other pending requests");
    let mut trials = Vec::new();
    for count in PENDING {
        let rejoin = PendingRequests::prepare(
            Rejoin::with_handler(MessageForm::WithHead, Limits::default())?,
            count,
            PER_ROUND,
        );
        let rmcp = PendingRequests::prepare(Rmcp::with_handler(), count, PER_ROUND);
        trials.push(trial(&workload(count), REJOIN, flavor, rejoin)?);
        trials.push(trial(&workload(count), RMCP, flavor, rmcp)?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&PENDING.map(workload), REJOIN, RMCP);
    Ok(())
}

fn among_sessions(sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let many = sizing.many_sessions;
    let limits = Limits { sessions: Some(many), ..Limits::default() };
    let cases = [
        ("request and response, 1 session".to_owned(), ONE),
        (
            format!("request and response, 1 of {many} sessions"),
            Scenario { other_sessions: many - 1, ..ONE },
        ),
        (
            format!("request and response, {many} sessions in turn"),
            Scenario { sessions: many, per_round: PER_ROUND.max(many), ..ONE },
        ),
    ];
    let mut trials = Vec::new();
    for (workload, scenario) in &cases {
        trials.push(request(
            workload,
            REJOIN,
            flavor,
            Rejoin::with_handler(MessageForm::WithHead, limits)?,
            *scenario,
        )?);
        trials.push(request(workload, RMCP, flavor, Rmcp::with_handler(), *scenario)?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&cases.map(|(workload, _)| workload), REJOIN, RMCP);
    Ok(())
}

/// Measures a replay. For more than 16 events, both have windows larger than the default: rmcp
/// keeps as many events as its channels hold.
fn resume(events: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let (limits, rmcp) = if events <= 16 {
        (Limits::default(), Rmcp::with_handler())
    } else {
        (Limits { window: Some(1_024), ..Limits::default() }, Rmcp::with_capacity(1_024))
    };
    let workload = &format!("resume, {}", plural(events, "event"));
    let rejoin = Rejoin::with_handler(MessageForm::WithHead, limits)?;
    let mut trials = [
        trial(workload, REJOIN, flavor, Resumes::prepare(rejoin, events))?,
        trial(workload, RMCP, flavor, Resumes::prepare(rmcp, events))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(workload, REJOIN, RMCP);
    Ok(())
}

fn create(
    count: usize,
    name: &str,
    flavor: Flavor,
    sizing: &Sizing,
    report: &mut Report,
) -> Result<()> {
    let many = Limits { sessions: Some(count), ..Limits::default() };
    let rejoin = Creations::new(move || Rejoin::with_handler(MessageForm::WithHead, many), count);
    let inline =
        Creations::new(move || Rejoin::with_inline_handler(MessageForm::WithHead, many), count);
    let rmcp = Creations::new(|| Ok(Rmcp::with_handler()), count);
    let workload = &format!("{count} sessions created, {name}");
    let mut trials = [
        trial(workload, REJOIN, flavor, std::future::ready(Ok(rejoin)))?,
        trial(workload, REJOIN_INLINE, flavor, std::future::ready(Ok(inline)))?,
        trial(workload, RMCP, flavor, std::future::ready(Ok(rmcp)))?,
    ];
    report.add(interleave(sizing.heavy_rounds, &mut trials)?);
    report.compare(workload, REJOIN_INLINE, RMCP);
    report.compare(workload, REJOIN, RMCP);
    Ok(())
}
