//! HTTP load from one thread, the same for every server.

mod client;
mod echo;
mod endpoint;
mod random;
mod session;
mod streams;
mod wrk;

use std::{cell::RefCell, rc::Rc};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

use self::streams::StreamClients;
pub(crate) use self::{
    client::Client,
    echo::{CPU_TIME, MEDIAN, RATE, TAIL, Target, measure, measure_target, warm_up},
    endpoint::Endpoint,
    random::Random,
    session::Session,
    wrk::Wrk,
};
use crate::{
    measure::{Flavor, Metric, Readings, Trial, interleave, plural},
    options::Sizing,
    report::Report,
    server::{Kind, Server},
};

const PEAK: Metric = Metric::cost("peak memory", "MiB");

/// Numbers of connections.
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

/// Number of calls that fill the logs of a session, and number of calls that fill its tombstones.
const WARMUP_CALLS: [usize; 2] = [4_200, 100];

/// Number of events on one stream.
const EVENTS: usize = 1_000;

/// Runs the section.
pub(crate) fn run(sizing: &Sizing, seed: u64, report: &mut Report) -> Result<()> {
    let text = Random::new(seed).word(24);
    let runtime = Rc::new(Flavor::CurrentThread.runtime()?);
    echo(sizing, &text, &runtime, report)?;
    events(sizing, &text, &runtime, report)?;
    idle(sizing, &text, &runtime, report)?;
    resume_at_once(sizing, seed, &text, &runtime, report)
}

fn echo(sizing: &Sizing, text: &str, runtime: &Rc<Runtime>, report: &mut Report) -> Result<()> {
    let start = |kind| anyhow::Ok((kind, Rc::new(Server::start(kind, text)?), Rc::default()));
    let servers = Kind::ALL.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    for count in CONNECTIONS {
        let workload = format!("echo, {}", plural(count, "connection"));
        let mut trials = Vec::new();
        for (kind, server, sessions) in &servers {
            runtime.block_on(add_sessions(server, *kind, sessions, count, text, sizing))?;
            let round = echo_round(server, sessions, text, runtime, sizing);
            let round: Box<dyn FnMut() -> _> = Box::new(round);
            trials.push(Trial { workload: workload.clone(), subject: kind.subject(), round });
        }
        report.add(interleave(sizing.load_rounds, &mut trials)?);
        compare(&workload, report);
    }
    by_wrk(&servers, text, runtime, sizing, report)?;
    let mut trials: Vec<Trial> = servers
        .iter()
        .map(|(kind, server, _)| {
            let process = server.process();
            let peak = move || Ok(vec![(PEAK, process.peak_memory_bytes()? / f64::from(1 << 20))]);
            let workload = "after all echo runs".to_owned();
            Trial { workload, subject: kind.subject(), round: Box::new(peak) }
        })
        .collect();
    report.add(interleave(1, &mut trials)?);
    compare("after all echo runs", report);
    Ok(())
}

/// Number of connections of `wrk`.
const WRK_CONNECTIONS: usize = 16;

/// Measures echo calls by a third-party load generator, in new sessions.
fn by_wrk(
    servers: &[(Kind, Rc<Server>, Sessions)],
    text: &str,
    runtime: &Runtime,
    sizing: &Sizing,
    report: &mut Report,
) -> Result<()> {
    let Some(generator) = Wrk::find() else {
        report.note("SKIPPED: echo by wrk: wrk is not installed".to_owned());
        return Ok(());
    };
    let workload = format!("echo, {WRK_CONNECTIONS} connections, by wrk");
    let mut trials = Vec::new();
    for (kind, server, _) in servers.iter().filter(|(kind, ..)| !kind.is_bare_hyper()) {
        let mut sessions = Vec::new();
        for _ in 0..WRK_CONNECTIONS {
            sessions.push(runtime.block_on(Session::create(server.address, "/"))?);
        }
        let round = generator.clone().round(server.process(), sessions, text, sizing.load_duration);
        trials.push(Trial {
            workload: workload.clone(),
            subject: kind.subject(),
            round: Box::new(round),
        });
    }
    report.add(interleave(sizing.load_rounds, &mut trials)?);
    compare(&workload, report);
    Ok(())
}

type Sessions = Rc<RefCell<Vec<Session>>>;

/// Opens sessions until there is one per connection, and fills their logs.
async fn add_sessions(
    server: &Server,
    kind: Kind,
    sessions: &Sessions,
    count: usize,
    text: &str,
    sizing: &Sizing,
) -> Result<()> {
    let mut existing = sessions.take();
    let [saturating, few] = WARMUP_CALLS;
    let mut new = Vec::new();
    let mut calls = few;
    while existing.len() + new.len() < count {
        if existing.len() + new.len() < sizing.saturated_sessions && !kind.is_bare_hyper() {
            calls = saturating;
        }
        new.push(Session::create(server.address, "/").await?);
    }
    warm_up(&mut new, text, calls).await?;
    existing.append(&mut new);
    sessions.replace(existing);
    Ok(())
}

fn echo_round(
    server: &Rc<Server>,
    sessions: &Sessions,
    text: &str,
    runtime: &Rc<Runtime>,
    sizing: &Sizing,
) -> impl FnMut() -> Result<Readings> + 'static {
    let (server, sessions) = (Rc::clone(server), Rc::clone(sessions));
    let (text, runtime, duration) = (text.to_owned(), Rc::clone(runtime), sizing.load_duration);
    move || {
        let mut current = sessions.take();
        let readings = runtime.block_on(measure(server.process(), &mut current, &text, duration));
        sessions.replace(current);
        readings
    }
}

fn compare(workload: &str, report: &mut Report) {
    for hyper in [Kind::HyperOnePart, Kind::HyperTwoParts, Kind::HyperTwoWrites] {
        report.compare(workload, Kind::Rejoin.subject(), hyper.subject());
        report.compare(workload, Kind::RejoinInline.subject(), hyper.subject());
    }
    report.compare(workload, Kind::RejoinInline.subject(), Kind::Rmcp.subject());
    report.compare(workload, Kind::Rejoin.subject(), Kind::Rmcp.subject());
    report.compare(workload, Kind::RejoinService.subject(), Kind::Rmcp.subject());
    report.compare(workload, Kind::Rejoin.subject(), Kind::TowerMcp.subject());
}

/// The subjects of workloads with events: bare hyper sends these from a task in all variants.
const STREAMING: [Kind; 4] = [Kind::HyperTwoWrites, Kind::Rejoin, Kind::RejoinService, Kind::Rmcp];

fn events(sizing: &Sizing, text: &str, runtime: &Rc<Runtime>, report: &mut Report) -> Result<()> {
    let workload = format!("{EVENTS} events on one stream");
    let mut trials = Vec::new();
    for kind in STREAMING {
        let (server, runtime) = (Server::start(kind, text)?, Rc::clone(runtime));
        let round = move || runtime.block_on(streams::events(&server, EVENTS));
        let (workload, subject) = (workload.clone(), kind.subject());
        trials.push(Trial { workload, subject, round: Box::new(round) });
    }
    report.add(interleave(sizing.load_rounds, &mut trials)?);
    compare(&workload, report);
    Ok(())
}

fn idle(sizing: &Sizing, text: &str, runtime: &Rc<Runtime>, report: &mut Report) -> Result<()> {
    let workload = format!("{} idle streams", sizing.clients);
    let mut trials = Vec::new();
    for kind in STREAMING {
        let (text, runtime) = (text.to_owned(), Rc::clone(runtime));
        let (clients, watch) = (sizing.clients, sizing.idle_duration);
        let round = move || {
            let server = Server::start(kind, &text)?;
            runtime.block_on(streams::idle(&server, clients, watch))
        };
        let (workload, subject) = (workload.clone(), kind.subject());
        trials.push(Trial { workload, subject, round: Box::new(round) });
    }
    report.add(interleave(1, &mut trials)?);
    compare(&workload, report);
    Ok(())
}

fn resume_at_once(
    sizing: &Sizing,
    seed: u64,
    text: &str,
    runtime: &Rc<Runtime>,
    report: &mut Report,
) -> Result<()> {
    let workload = format!("{} clients resume at once", sizing.clients);
    let mut trials = Vec::new();
    for kind in STREAMING {
        let (server, runtime) = (Server::start(kind, text)?, Rc::clone(runtime));
        let mut clients = Some(runtime.block_on(StreamClients::connect(&server, sizing.clients))?);
        let round = move || {
            let connected = clients.take().context("an earlier round has failed")?;
            let (reconnected, readings) =
                runtime.block_on(connected.reconnect_all(&server, seed))?;
            clients = Some(reconnected);
            Ok(readings)
        };
        let (workload, subject) = (workload.clone(), kind.subject());
        trials.push(Trial { workload, subject, round: Box::new(round) });
    }
    report.add(interleave(sizing.heavy_rounds, &mut trials)?);
    compare(&workload, report);
    Ok(())
}
