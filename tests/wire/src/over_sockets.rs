//! Simulations over sockets, against the program, in real time.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rejoin_tests::kit::Coverage;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::backend::ReceivedBySession;
use crate::failure::Failure;
use crate::options::options;
use crate::parameters::{BackendKind, Parameters};
use crate::program::Program;
use crate::run::{check_all, run};
use crate::server::Server;
use crate::simulation::Simulation;

/// The duration of the phase with faults in a round of a soak.
const SOAK_FAULT_PHASE: Duration = Duration::from_secs(15);
/// How long it takes to make the requests of a simulation without faults.
const FAULT_PHASE: Duration = Duration::from_secs(60);

/// Returns the maximum duration of the phase with faults: each request may take until its
/// timeout, plus a margin.
fn fault_phase_max(parameters: &Parameters) -> Duration {
    if parameters.is_soak {
        return SOAK_FAULT_PHASE;
    }
    let in_turn = parameters.base.requests.div_ceil(parameters.base.pending_max);
    let in_turn = u32::try_from(in_turn).unwrap_or(u32::MAX);
    FAULT_PHASE + in_turn * (parameters.base.request_timeout + Duration::from_secs(1))
}

/// The programs of a simulation over sockets.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The program under test.
    pub rejoin: PathBuf,
    /// The command that calls [`run_child`](crate::run_child) as the backend of a session; the
    /// directory to record in is appended to it.
    pub child: Vec<String>,
}

/// Runs a simulation over sockets, and checks all its sessions.
///
/// # Errors
///
/// The first failure.
pub fn run_over_sockets(
    parameters: &Parameters,
    programs: &Programs,
) -> Result<Coverage, Box<Failure>> {
    let fail = |message: String| Failure::new(parameters, message, None);
    let served = Served::start(parameters, programs).map_err(|error| fail(error.to_string()))?;
    let simulation = served.run(parameters)?;
    let files = served.stop().map_err(|error| fail(error.to_string()))?;
    let checked = check_sessions(parameters, &simulation, &files);
    let (coverage, checked) = checked.map_err(|error| fail(error.to_string()))?;
    checked.into_iter().next().map_or(Ok(coverage), |failure| Err(Box::new(failure).save_journal()))
}

/// The running program, and the files that it and its children write.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) program: Program,
    pub(crate) files: Files,
}

/// The journals of sessions, and what their child processes received.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) journals: TempDir,
    received: TempDir,
}

impl Files {
    /// Removes all files.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for directory in [&self.journals, &self.received] {
            for file in fs::read_dir(directory.path())? {
                fs::remove_file(file?.path())?;
            }
        }
        Ok(())
    }
}

impl Served {
    pub(crate) fn start(parameters: &Parameters, programs: &Programs) -> anyhow::Result<Self> {
        let files = Files { journals: tempfile::tempdir()?, received: tempfile::tempdir()? };
        let command = match parameters.backend {
            BackendKind::Child => {
                let received = files.received.path().display().to_string();
                programs.child.iter().cloned().chain([received]).collect()
            }
            BackendKind::Task | BackendKind::Handler | BackendKind::Demo => Vec::new(),
        };
        let options = options(parameters, files.journals.path());
        let program = Program::start(&programs.rejoin, &options, &command)?;
        Ok(Self { program, files })
    }

    /// Runs a simulation until only its journals are left.
    pub(crate) fn run(&self, parameters: &Parameters) -> Result<Arc<Simulation>, Box<Failure>> {
        let fail = |message: String| Failure::new(parameters, message, None);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| fail(error.to_string()))?;
        let server = Server::Socket(self.program.address);
        let simulation =
            Simulation::new(parameters.clone(), server, Arc::new(AtomicBool::new(false)));
        let result = runtime.block_on(async {
            run(&simulation, fault_phase_max(parameters)).await?;
            self.wait_until_idle(parameters).await
        });
        if let Some(message) = self.program.reported_error() {
            return Err(fail(message));
        }
        if !simulation.has_failed() {
            result.map_err(fail)?;
        }
        Ok(simulation)
    }

    /// Waits until the program has no session and no child process left.
    pub(crate) async fn wait_until_idle(&self, parameters: &Parameters) -> Result<(), String> {
        let program = &self.program;
        let bound = parameters.quiescence_bound();
        let end = Instant::now() + bound;
        loop {
            let children = program.children().map_err(|error| error.to_string())?;
            let sessions = program.sessions();
            if sessions == 0 && children.len() == watchdogs(parameters.backend) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(format!(
                    "{bound:?} later, {sessions} sessions and child processes {children:?} are left"
                ));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops the program, and returns the files.
    pub(crate) fn stop(self) -> anyhow::Result<Files> {
        self.program.stop()?;
        Ok(self.files)
    }
}

/// Returns the number of child processes that do not serve a session: the watchdog.
const fn watchdogs(kind: BackendKind) -> usize {
    match kind {
        BackendKind::Child => 1,
        BackendKind::Task | BackendKind::Handler | BackendKind::Demo => 0,
    }
}

/// Checks the sessions of a simulation, all of which have ended. Returns the coverage, and the
/// failures.
pub(crate) fn check_sessions(
    parameters: &Parameters,
    simulation: &Simulation,
    files: &Files,
) -> io::Result<(Coverage, Vec<Failure>)> {
    let mut records = simulation.take_records();
    let received = ReceivedBySession::take(files.received.path())?;
    let mut failures = check_all(parameters, &mut records, &received, files.journals.path())?;
    let outlived = records.coverage.hits("ends: other");
    if outlived > 0 {
        let message = format!("{outlived} sessions were open until the program was stopped");
        failures.push(*Failure::new(parameters, message, None));
    }
    records.coverage.hit("simulations");
    Ok((records.coverage, failures))
}
