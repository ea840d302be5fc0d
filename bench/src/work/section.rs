//! Which work is done in this process, by whom, and what is compared.

use anyhow::Result;

use super::{
    create::Creations,
    lag::InFlight,
    progress::Progress,
    request::{Requests, Setting},
    resume::Resumes,
};
use crate::{
    layer::{Hop, Layer, Rejoin, Rmcp, Sizes},
    measure::{Flavor, Trial, interleave, trial},
    options::Sizing,
    report::Report,
};

/// rejoin with a handler of its own.
const REJOIN: &str = "rejoin";
/// rejoin with an rmcp service.
const REJOIN_SERVICE: &str = "rejoin + rmcp service";
/// The sessions of rmcp with a loop of its own.
const RMCP: &str = "rmcp";
/// The sessions of rmcp with an rmcp service.
const RMCP_SERVICE: &str = "rmcp + rmcp service";
/// A hop to a task and back.
const HOP: &str = "mpsc + oneshot";

const ONE: Setting = Setting { sessions: 1, others: 0, held: 0, per_round: 2_000 };

/// Does all of it.
pub(crate) fn run(sizing: &Sizing, report: &mut Report) -> Result<()> {
    for (name, flavor) in
        [("current-thread", Flavor::CurrentThread), ("multi-thread", Flavor::MultiThread)]
    {
        requests(name, flavor, sizing, report)?;
        progress(name, flavor, sizing, report)?;
    }
    for held in [0, 100, 1_000, 10_000] {
        among_streams(held, sizing, report)?;
    }
    for count in [0, 1_000] {
        in_flight(count, sizing, report)?;
    }
    for sessions in [1, sizing.many_sessions] {
        among_sessions(sessions, sizing, report)?;
    }
    for events in [1, 16, 256, 900] {
        resume(events, sizing, report)?;
    }
    for count in [1_000, 10_000] {
        create(count, sizing, report)?;
    }
    Ok(())
}

fn requests(name: &str, flavor: Flavor, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let mut trials = [
        request(REJOIN, flavor, Rejoin::with_handler(Sizes::default())?, ONE)?,
        request(RMCP, flavor, Rmcp::with_handler(), ONE)?,
        request(REJOIN_SERVICE, flavor, Rejoin::with_service(Sizes::default())?, ONE)?,
        request(RMCP_SERVICE, flavor, Rmcp::with_service(), ONE)?,
        request(HOP, flavor, Hop, ONE)?,
    ];
    let work = format!("request and response, {name}");
    report.add(&work, interleave(sizing.rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    report.compare(&work, REJOIN_SERVICE, RMCP_SERVICE);
    Ok(())
}

fn request<L: Layer>(
    subject: &'static str,
    flavor: Flavor,
    layer: L,
    setting: Setting,
) -> Result<Trial> {
    trial(subject, flavor, Requests::prepare(layer, setting))
}

fn progress(name: &str, flavor: Flavor, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let mut trials = [
        trial(REJOIN, flavor, Progress::prepare(Rejoin::with_handler(Sizes::default())?))?,
        trial(RMCP, flavor, Progress::prepare(Rmcp::with_handler()))?,
        trial(
            REJOIN_SERVICE,
            flavor,
            Progress::prepare(Rejoin::with_service(Sizes::default())?),
        )?,
        trial(RMCP_SERVICE, flavor, Progress::prepare(Rmcp::with_service()))?,
    ];
    let work = format!("progress event, {name}");
    report.add(&work, interleave(sizing.rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    report.compare(&work, REJOIN_SERVICE, RMCP_SERVICE);
    Ok(())
}

/// A session may have far more streams than by default here.
fn among_streams(held: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let wide = Sizes { streams: Some(20_000), ..Sizes::default() };
    let setting = Setting { held, ..ONE };
    let mut trials = [
        request(REJOIN, Flavor::CurrentThread, Rejoin::with_handler(wide)?, setting)?,
        request(RMCP, Flavor::CurrentThread, Rmcp::with_handler(), setting)?,
    ];
    let work = format!("the same, {held} other streams held");
    report.add(&work, interleave(sizing.rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    if held > 0 {
        report.flat(&work, "the same, 0 other streams held");
    }
    Ok(())
}

fn in_flight(count: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let rejoin = Rejoin::with_handler(Sizes::default())?;
    let mut trials = [
        trial(REJOIN, flavor, InFlight::prepare(rejoin, count, ONE.per_round))?,
        trial(RMCP, flavor, InFlight::prepare(Rmcp::with_handler(), count, ONE.per_round))?,
    ];
    let name = |count| format!("the same, {count} other requests in flight");
    let work = name(count);
    report.add(&work, interleave(sizing.rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    if count > 0 {
        report.flat(&work, &name(0));
    }
    Ok(())
}

fn among_sessions(sessions: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let many = Sizes { sessions: Some(sessions + 1), ..Sizes::default() };
    let all = Setting { sessions, ..ONE };
    let mut trials = vec![
        request(REJOIN, flavor, Rejoin::with_handler(many)?, all)?,
        request(RMCP, flavor, Rmcp::with_handler(), all)?,
    ];
    let name = |sessions| format!("the same, {sessions} sessions in turn");
    report.add(&name(sessions), interleave(sizing.rounds, &mut trials)?);
    report.compare(&name(sessions), REJOIN, RMCP);
    if sessions == 1 {
        return Ok(());
    }
    report.flat(&name(sessions), &name(1));
    drop(trials);
    let one = Setting { sessions: 1, others: sessions - 1, ..ONE };
    let mut trials = [
        request(REJOIN, flavor, Rejoin::with_handler(many)?, one)?,
        request(RMCP, flavor, Rmcp::with_handler(), one)?,
    ];
    let work = format!("the same, one session of {sessions}");
    report.add(&work, interleave(sizing.rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    report.flat(&work, &name(1));
    Ok(())
}

/// Beyond 16 events, both have larger windows than by default: rmcp keeps as many
/// events as its channels hold.
fn resume(events: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let (sizes, rmcp) = if events <= 16 {
        (Sizes::default(), Rmcp::with_handler())
    } else {
        (Sizes { window: Some(1_024), ..Sizes::default() }, Rmcp::with_capacity(1_024))
    };
    let mut trials = [
        trial(REJOIN, flavor, Resumes::prepare(Rejoin::with_handler(sizes)?, events))?,
        trial(RMCP, flavor, Resumes::prepare(rmcp, events))?,
    ];
    let work = format!("resume, {events} events");
    report.add(&work, interleave(sizing.rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    Ok(())
}

fn create(count: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let many = Sizes { sessions: Some(count), ..Sizes::default() };
    let rejoin = Creations::new(move || Rejoin::with_handler(many), count);
    let rmcp = Creations::new(|| Ok(Rmcp::with_handler()), count);
    let mut trials = [
        trial(REJOIN, flavor, std::future::ready(Ok(rejoin)))?,
        trial(RMCP, flavor, std::future::ready(Ok(rmcp)))?,
    ];
    let work = format!("sessions created, {count} at once");
    report.add(&work, interleave(sizing.heavy_rounds, &mut trials)?);
    report.compare(&work, REJOIN, RMCP);
    Ok(())
}
