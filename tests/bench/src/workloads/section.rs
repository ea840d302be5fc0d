//! Which work is done in this process, by whom, and what is compared.

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
    measure::{Flavor, Trial, interleave, trial},
    options::Sizing,
    report::Report,
};

/// rejoin with a handler of its own.
const REJOIN: &str = "rejoin";
/// rejoin with a handler that needs no task.
const REJOIN_INLINE: &str = "rejoin, in place";
/// rejoin with an rmcp service.
const REJOIN_SERVICE: &str = "rejoin + rmcp service";
/// The sessions of rmcp with a loop of its own.
const RMCP: &str = "rmcp";
/// The sessions of rmcp with an rmcp service.
const RMCP_SERVICE: &str = "rmcp + rmcp service";
/// A hop to a task and back.
const HOP: &str = "mpsc + oneshot";

/// How many requests a round has.
const PER_ROUND: usize = 2_000;

/// One session, and nothing beside it.
const ONE: Scenario =
    Scenario { sessions: 1, other_sessions: 0, open_streams: 0, per_round: PER_ROUND };

/// Does all of it.
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

/// First with messages that were read and need not be written, as the sessions of `rmcp` have
/// them, then from JSON to JSON, which is what both services of HTTP do around their sessions.
fn requests(name: &str, flavor: Flavor, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let sizes = Limits::default();
    let work = &format!("request and response, {name}");
    let mut trials = [
        request(work, REJOIN, flavor, Rejoin::with_handler(MessageForm::WithHead, sizes)?, ONE)?,
        request(
            work,
            REJOIN_INLINE,
            flavor,
            Rejoin::with_inline_handler(MessageForm::WithHead, sizes)?,
            ONE,
        )?,
        request(work, RMCP, flavor, Rmcp::with_handler(), ONE)?,
        request(work, HOP, flavor, ChannelHop, ONE)?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(work, REJOIN_INLINE, RMCP);
    report.compare(work, REJOIN, RMCP);

    let work = &format!("request and response in JSON, {name}");
    let mut trials = [
        request(work, REJOIN, flavor, Json(Rejoin::with_handler(MessageForm::Json, sizes)?), ONE)?,
        request(
            work,
            REJOIN_INLINE,
            flavor,
            Json(Rejoin::with_inline_handler(MessageForm::Json, sizes)?),
            ONE,
        )?,
        request(work, RMCP, flavor, Json(Rmcp::with_handler()), ONE)?,
        request(work, REJOIN_SERVICE, flavor, Json(Rejoin::with_service(sizes)?), ONE)?,
        request(work, RMCP_SERVICE, flavor, Json(Rmcp::with_service()), ONE)?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(work, REJOIN_INLINE, RMCP);
    report.compare(work, REJOIN, RMCP);
    report.compare(work, REJOIN_SERVICE, RMCP_SERVICE);
    Ok(())
}

fn request<L: SessionLayer>(
    work: &str,
    subject: &'static str,
    flavor: Flavor,
    layer: L,
    setting: Scenario,
) -> Result<Trial> {
    trial(work, subject, flavor, Requests::prepare(layer, setting))
}

fn progress(name: &str, flavor: Flavor, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let sizes = Limits::default();
    let work = &format!("progress event, {name}");
    let rejoin = Rejoin::with_handler(MessageForm::WithHead, sizes)?;
    let mut trials = [
        trial(work, REJOIN, flavor, Progress::prepare(rejoin))?,
        trial(work, RMCP, flavor, Progress::prepare(Rmcp::with_handler()))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(work, REJOIN, RMCP);

    let work = &format!("progress event in JSON, {name}");
    let rejoin = Json(Rejoin::with_handler(MessageForm::Json, sizes)?);
    let service = Json(Rejoin::with_service(sizes)?);
    let mut trials = [
        trial(work, REJOIN, flavor, Progress::prepare(rejoin))?,
        trial(work, RMCP, flavor, Progress::prepare(Json(Rmcp::with_handler())))?,
        trial(work, REJOIN_SERVICE, flavor, Progress::prepare(service))?,
        trial(work, RMCP_SERVICE, flavor, Progress::prepare(Json(Rmcp::with_service())))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(work, REJOIN, RMCP);
    report.compare(work, REJOIN_SERVICE, RMCP_SERVICE);
    Ok(())
}

/// A session may have far more streams than by default here.
fn among_streams(sizing: &Sizing, report: &mut Report) -> Result<()> {
    const HELD: [usize; 4] = [0, 100, 1_000, 10_000];
    let flavor = Flavor::CurrentThread;
    let wide = Limits { streams: Some(20_000), ..Limits::default() };
    let work = |held| format!("request and response, {held} other streams held");
    let mut trials = Vec::new();
    for held in HELD {
        let setting = Scenario { open_streams: held, ..ONE };
        trials.push(request(
            &work(held),
            REJOIN,
            flavor,
            Rejoin::with_handler(MessageForm::WithHead, wide)?,
            setting,
        )?);
        trials.push(request(&work(held), RMCP, flavor, Rmcp::with_handler(), setting)?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&HELD.map(work), REJOIN, RMCP);
    Ok(())
}

fn pending(sizing: &Sizing, report: &mut Report) -> Result<()> {
    const OTHERS: [usize; 2] = [0, 1_000];
    let flavor = Flavor::CurrentThread;
    let work = |count| format!("request and response, {count} others in flight");
    let mut trials = Vec::new();
    for count in OTHERS {
        let rejoin = PendingRequests::prepare(
            Rejoin::with_handler(MessageForm::WithHead, Limits::default())?,
            count,
            PER_ROUND,
        );
        let rmcp = PendingRequests::prepare(Rmcp::with_handler(), count, PER_ROUND);
        trials.push(trial(&work(count), REJOIN, flavor, rejoin)?);
        trials.push(trial(&work(count), RMCP, flavor, rmcp)?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&OTHERS.map(work), REJOIN, RMCP);
    Ok(())
}

fn among_sessions(sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let many = sizing.many_sessions;
    let sizes = Limits { sessions: Some(many), ..Limits::default() };
    let cases = [
        ("request and response, 1 session".to_owned(), ONE),
        (
            format!("request and response, 1 session among {many}"),
            Scenario { other_sessions: many - 1, ..ONE },
        ),
        (
            format!("request and response, {many} sessions in turn"),
            Scenario { sessions: many, per_round: PER_ROUND.max(many), ..ONE },
        ),
    ];
    let mut trials = Vec::new();
    for (work, setting) in &cases {
        trials.push(request(
            work,
            REJOIN,
            flavor,
            Rejoin::with_handler(MessageForm::WithHead, sizes)?,
            *setting,
        )?);
        trials.push(request(work, RMCP, flavor, Rmcp::with_handler(), *setting)?);
    }
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare_all(&cases.map(|(work, _)| work), REJOIN, RMCP);
    Ok(())
}

/// Beyond 16 events, both have larger windows than by default: rmcp keeps as many
/// events as its channels hold.
fn resume(events: usize, sizing: &Sizing, report: &mut Report) -> Result<()> {
    let flavor = Flavor::CurrentThread;
    let (sizes, rmcp) = if events <= 16 {
        (Limits::default(), Rmcp::with_handler())
    } else {
        (Limits { window: Some(1_024), ..Limits::default() }, Rmcp::with_capacity(1_024))
    };
    let work = &format!("resume, {events} events");
    let rejoin = Rejoin::with_handler(MessageForm::WithHead, sizes)?;
    let mut trials = [
        trial(work, REJOIN, flavor, Resumes::prepare(rejoin, events))?,
        trial(work, RMCP, flavor, Resumes::prepare(rmcp, events))?,
    ];
    report.add(interleave(sizing.rounds, &mut trials)?);
    report.compare(work, REJOIN, RMCP);
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
    let in_place =
        Creations::new(move || Rejoin::with_inline_handler(MessageForm::WithHead, many), count);
    let rmcp = Creations::new(|| Ok(Rmcp::with_handler()), count);
    let work = &format!("{count} sessions created, {name}");
    let mut trials = [
        trial(work, REJOIN, flavor, std::future::ready(Ok(rejoin)))?,
        trial(work, REJOIN_INLINE, flavor, std::future::ready(Ok(in_place)))?,
        trial(work, RMCP, flavor, std::future::ready(Ok(rmcp)))?,
    ];
    report.add(interleave(sizing.heavy_rounds, &mut trials)?);
    report.compare(work, REJOIN_INLINE, RMCP);
    report.compare(work, REJOIN, RMCP);
    Ok(())
}
