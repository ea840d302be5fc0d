//! Gateways in front of a stdio server: rejoin and others.

mod packages;
mod running;
mod stdio;

use std::{cell::RefCell, env, path::PathBuf, rc::Rc};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

pub(crate) use self::{
    packages::Packages,
    running::{Gateway, free_port},
    stdio::serve as stdio,
};
use crate::{
    load::{Random, Session, Wrk, measure, warm_up},
    measure::{Flavor, Readings, Trial, interleave, plural},
    options::Sizing,
    report::Report,
};

/// Numbers of sessions, with one connection each.
const SESSIONS: [usize; 2] = [1, 16];

/// Kind of gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rejoin,
    Supergateway,
    NpmProxy,
    PyPiProxy,
    CrateProxy,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Rejoin, Self::Supergateway, Self::NpmProxy, Self::PyPiProxy, Self::CrateProxy];

    fn subject(self) -> &'static str {
        match self {
            Self::Rejoin => "rejoin serve",
            Self::Supergateway => "supergateway (npm)",
            Self::NpmProxy => "mcp-proxy (npm)",
            Self::PyPiProxy => "mcp-proxy (PyPI)",
            Self::CrateProxy => "mcp-proxy (crate)",
        }
    }

    /// Returns the path of the endpoint and the prefix of tool names.
    fn endpoint(self) -> (&'static str, &'static str) {
        match self {
            Self::Rejoin | Self::Supergateway | Self::NpmProxy | Self::PyPiProxy => ("/mcp", ""),
            Self::CrateProxy => ("/", "child/"),
        }
    }
}

/// Runs the section with all gateways that can be installed; notes those that cannot.
pub(crate) fn run(sizing: &Sizing, seed: u64, report: &mut Report) -> Result<()> {
    let text = Random::new(seed).word(24);
    let runtime = Rc::new(Flavor::CurrentThread.runtime()?);
    let child = [env::current_exe()?, PathBuf::from("stdio")];
    let packages = Packages::in_build_directory()?;
    let mut gateways = Vec::new();
    for kind in Kind::ALL {
        match start(kind, &packages, &child, &runtime) {
            Ok(gateway) => gateways.push((kind, Rc::new(gateway))),
            Err(error) => report.note(format!("SKIPPED: {}: {error:#}", kind.subject())),
        }
    }
    for count in SESSIONS {
        let workload = format!("gateway echo, {}", plural(count, "session"));
        let mut trials = vec![stdio::bare_pipe(&workload, &child, &text, sizing.load_duration)?];
        for (kind, gateway) in &gateways {
            let warm = create_warm_sessions(gateway, *kind, count, &text, sizing);
            let sessions = runtime.block_on(warm).context(kind.subject())?;
            let round = echo_round(gateway, sessions, &text, &runtime, sizing);
            let (workload, subject) = (workload.clone(), kind.subject());
            trials.push(Trial { workload, subject, round: Box::new(round) });
        }
        report.add(interleave(sizing.heavy_rounds, &mut trials)?);
        for other in Kind::ALL.into_iter().skip(1) {
            report.compare(&workload, Kind::Rejoin.subject(), other.subject());
        }
    }
    by_wrk(&gateways, &runtime, &text, sizing, report)
}

/// Measures the two fastest gateways by a third-party load generator.
fn by_wrk(
    gateways: &[(Kind, Rc<Gateway>)],
    runtime: &Runtime,
    text: &str,
    sizing: &Sizing,
    report: &mut Report,
) -> Result<()> {
    let Some(generator) = Wrk::find() else {
        report.note("SKIPPED: gateways by wrk: wrk is not installed".to_owned());
        return Ok(());
    };
    let count = SESSIONS[1];
    let workload = format!("gateway echo, {count} sessions, by wrk");
    let mut trials = Vec::new();
    for (kind, gateway) in gateways {
        if ![Kind::Rejoin, Kind::CrateProxy].contains(kind) {
            continue;
        }
        let sessions = runtime.block_on(create_sessions(gateway, *kind, count))?;
        let round =
            generator.clone().round(gateway.process(), sessions, text, sizing.load_duration);
        trials.push(Trial {
            workload: workload.clone(),
            subject: kind.subject(),
            round: Box::new(round),
        });
    }
    report.add(interleave(sizing.heavy_rounds, &mut trials)?);
    report.compare(&workload, Kind::Rejoin.subject(), Kind::CrateProxy.subject());
    Ok(())
}

/// Starts a gateway, and checks that a session can be created.
fn start(kind: Kind, packages: &Packages, child: &[PathBuf], runtime: &Runtime) -> Result<Gateway> {
    let port = free_port()?;
    let command = match kind {
        Kind::Rejoin => packages.rejoin(port, child)?,
        Kind::Supergateway => packages.supergateway(port, child)?,
        Kind::NpmProxy => packages.npm_proxy(port, child)?,
        Kind::PyPiProxy => packages.pypi_proxy(port, child)?,
        Kind::CrateProxy => packages.crate_proxy(port, child)?,
    };
    let gateway = Gateway::start(command, port)?;
    runtime.block_on(create_sessions(&gateway, kind, 1))?;
    Ok(gateway)
}

/// Creates sessions, and makes enough calls for JIT compilers to finish.
async fn create_warm_sessions(
    gateway: &Gateway,
    kind: Kind,
    count: usize,
    text: &str,
    sizing: &Sizing,
) -> Result<Vec<Session>> {
    let mut sessions = create_sessions(gateway, kind, count).await?;
    warm_up(&mut sessions, text, sizing.gateway_warmup_calls / count).await?;
    Ok(sessions)
}

async fn create_sessions(gateway: &Gateway, kind: Kind, count: usize) -> Result<Vec<Session>> {
    let (path, prefix) = kind.endpoint();
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(Session::create(gateway.address, path).await?.with_prefix(prefix));
    }
    Ok(sessions)
}

fn echo_round(
    gateway: &Rc<Gateway>,
    sessions: Vec<Session>,
    text: &str,
    runtime: &Rc<Runtime>,
    sizing: &Sizing,
) -> impl FnMut() -> Result<Readings> + 'static {
    let (gateway, runtime) = (Rc::clone(gateway), Rc::clone(runtime));
    let (text, duration, sessions) =
        (text.to_owned(), sizing.load_duration, RefCell::new(sessions));
    move || {
        let mut current = sessions.take();
        let process = gateway.process();
        let readings = runtime.block_on(measure(process, &mut current, &text, duration));
        sessions.replace(current);
        readings
    }
}
