//! Gateways in front of a server on stdio: rejoin, and others that npm and pip install.

mod packages;
mod running;
mod stdio;

use std::{cell::RefCell, env, path::PathBuf, rc::Rc};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

pub(crate) use self::stdio::serve as stdio;
use self::{packages::Packages, running::Gateway};
use crate::{
    load::{Random, Session, measure, saturate},
    measure::{Flavor, Readings, Trial, interleave},
    options::Sizing,
    report::Report,
};

/// How many sessions there are, with a connection each.
const SESSIONS: [usize; 2] = [1, 16];

/// Which gateway it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rejoin,
    Supergateway,
    NpmProxy,
    PyPiProxy,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Rejoin, Self::Supergateway, Self::NpmProxy, Self::PyPiProxy];

    fn subject(self) -> &'static str {
        match self {
            Self::Rejoin => "rejoin serve",
            Self::Supergateway => "supergateway (npm)",
            Self::NpmProxy => "mcp-proxy (npm)",
            Self::PyPiProxy => "mcp-proxy (PyPI)",
        }
    }
}

/// Measures those that can be had, and says which cannot.
pub(crate) fn run(sizing: &Sizing, seed: u64, report: &mut Report) -> Result<()> {
    let text = Random::new(seed).word(24);
    let runtime = Rc::new(Flavor::CurrentThread.runtime()?);
    let child = [env::current_exe()?, PathBuf::from("stdio")];
    let packages = Packages::beside_this_program()?;
    let mut gateways = Vec::new();
    for kind in Kind::ALL {
        match start(kind, &packages, &child, &runtime) {
            Ok(gateway) => gateways.push((kind, Rc::new(gateway))),
            Err(error) => report.note(format!("SKIPPED: {}: {error:#}", kind.subject())),
        }
    }
    for count in SESSIONS {
        let work = format!("gateway echo, {count} sessions");
        let mut trials = vec![stdio::bare_pipe(&work, &child, &text, sizing.window)?];
        for (kind, gateway) in &gateways {
            let sessions =
                runtime.block_on(warm(gateway, count, &text, sizing)).context(kind.subject())?;
            let round = echo_round(gateway, sessions, &text, &runtime, sizing);
            let (work, subject) = (work.clone(), kind.subject());
            trials.push(Trial { work, subject, round: Box::new(round) });
        }
        report.add(interleave(sizing.heavy_rounds, &mut trials)?);
        for other in Kind::ALL.into_iter().skip(1) {
            report.compare(&work, Kind::Rejoin.subject(), other.subject());
            let metrics = ["throughput", "processor"];
            report.draw(&work, Kind::Rejoin.subject(), other.subject(), &metrics);
        }
    }
    Ok(())
}

/// Starts a gateway, and makes sure that a session begins.
fn start(kind: Kind, packages: &Packages, child: &[PathBuf], runtime: &Runtime) -> Result<Gateway> {
    let port = running::free_port()?;
    let command = match kind {
        Kind::Rejoin => packages.rejoin(port, child)?,
        Kind::Supergateway => packages.supergateway(port, child)?,
        Kind::NpmProxy => packages.npm_proxy(port, child)?,
        Kind::PyPiProxy => packages.pypi_proxy(port, child)?,
    };
    let gateway = Gateway::start(command, port)?;
    runtime.block_on(begin(&gateway, 1))?;
    Ok(gateway)
}

/// Begins sessions, and calls until whatever compiles as it runs has done so.
async fn warm(
    gateway: &Gateway,
    count: usize,
    text: &str,
    sizing: &Sizing,
) -> Result<Vec<Session>> {
    let mut sessions = begin(gateway, count).await?;
    saturate(&mut sessions, text, sizing.gateway_calls / count).await?;
    Ok(sessions)
}

async fn begin(gateway: &Gateway, count: usize) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(Session::begin(gateway.address, "/mcp").await?);
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
    let (text, window, sessions) = (text.to_owned(), sizing.window, RefCell::new(sessions));
    move || {
        let mut taken = sessions.take();
        let process = gateway.process();
        let readings = runtime.block_on(measure(process, &mut taken, &text, window));
        sessions.replace(taken);
        readings
    }
}
