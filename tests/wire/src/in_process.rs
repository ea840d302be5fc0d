//! Simulations in this process, in virtual time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rejoin::{SessionHandle, SessionManager, StreamableHttp, journal::Journal};
use rejoin_core::SessionCloseReason;
use rejoin_tests::kit::{Coverage, DeliberateBug, FAULT_PHASE_MAX, Fault, Rng};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

use crate::backend::{BackendContext, Backends, Opened};
use crate::deliberate_bugs::BuggyService;
use crate::failure::Failure;
use crate::log_monitor::LogMonitor;
use crate::parameters::Parameters;
use crate::run::{check_all, run};
use crate::server::Server;
use crate::simulation::Simulation;

/// Maximum size of the journals of a simulation, in bytes.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;
/// The kind of actor that the operator's generator belongs to.
const RNG_OPERATOR: u64 = 16;

/// Runs a simulation in this process, and checks all its sessions.
///
/// # Errors
///
/// The first failure.
pub fn run_in_process(parameters: &Parameters) -> Result<Coverage, Box<Failure>> {
    let fail = |message: String| Failure::new(parameters, message, None);
    let journals = tempfile::tempdir().map_err(|error| fail(error.to_string()))?;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| fail(error.to_string()))?;
    let monitor = LogMonitor::start();
    let result =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(serve_and_run(parameters, &journals))));
    if let Some(error) = monitor.take_error() {
        return Err(fail(error));
    }
    let (simulation, opened, result) = match result {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => return Err(fail(error)),
        Err(_) => return Err(fail("panicked at an unknown place".to_owned())),
    };
    let mut records = simulation.take_records();
    // Dropping the last manager flushes the journal.
    drop((runtime, simulation));
    let received = &opened.lock().received;
    if let Some(error) = monitor.take_error() {
        return Err(fail(error));
    }
    if let Some(invalid) = received.invalid() {
        return Err(fail(format!("a backend received an invalid message: {invalid}")));
    }
    if records.failure.is_none() {
        result.map_err(fail)?;
    }
    let checked = check_all(parameters, &mut records, received, journals.path());
    let checked = checked.map_err(|error| fail(error.to_string()))?;
    checked.into_iter().next().map_or(Ok(()), |failure| Err(Box::new(failure)))?;
    records.coverage.hit("simulations");
    Ok(records.coverage)
}

type RunResult = (Arc<Simulation>, Arc<Mutex<Opened>>, Result<(), String>);

async fn serve_and_run(parameters: &Parameters, journals: &TempDir) -> Result<RunResult, String> {
    let context = BackendContext::new(parameters.clone());
    let backends = Backends::new(context.clone());
    let opened = backends.record();
    let journal = Journal::create(journals.path(), JOURNAL_BYTES_MAX);
    let journal = journal.map_err(|error| error.to_string())?;
    let mut config = parameters.manager_config();
    config.session.shadows_max +=
        usize::from(parameters.base.bug == Some(DeliberateBug::WrongLimits));
    let manager = SessionManager::builder(backends, config).journal(journal).build();
    let manager = manager.map_err(|error| error.to_string())?;
    let service = StreamableHttp::new(manager.clone(), parameters.http_config());
    let service = service.map_err(|error| error.to_string())?;
    let service =
        BuggyService::new(service, parameters.base.bug, parameters.base.seed.is_multiple_of(2));
    let buffers = parameters.tcp.map(|tcp| tcp.buffers);
    let server = Server::InProcess { service, pipe_bytes: parameters.base.pipe_bytes, buffers };
    let simulation = Simulation::new(parameters.clone(), server, context.is_fault_free);
    let mut result = tokio::select! {
        biased;
        result = run(&simulation, FAULT_PHASE_MAX) => result,
        () = shut_down_sessions(&simulation, &manager, &opened) => Ok(()),
    };
    if result.is_ok() {
        result = wait_until_idle(parameters, &manager).await;
    }
    manager.close_all();
    simulation.coverage.lock().merge(&context.coverage.lock());
    Ok((simulation, opened, result))
}

/// Closes or drains a session now and then, as an operator might.
async fn shut_down_sessions(
    simulation: &Simulation,
    manager: &SessionManager,
    opened: &Mutex<Opened>,
) {
    let mut rng = Rng::new(simulation.parameters.base.seed, RNG_OPERATOR, 0);
    // The sessions that drain, and until when the operator waits for them.
    let mut draining: Vec<(Instant, SessionHandle)> = Vec::new();
    loop {
        sleep(rng.millis(10, 600)).await;
        for (_, session) in draining.extract_if(.., |(end, _)| *end <= Instant::now()) {
            session.close(SessionCloseReason::ServerShutdown);
        }
        for fault in [Fault::Shutdown, Fault::Drain] {
            if !simulation.draw_fault(&mut rng, fault) {
                continue;
            }
            let session = rng.choose(&opened.lock().sessions);
            let Some(session) = session.and_then(|id| manager.session(id).ok()) else { continue };
            if fault == Fault::Drain {
                session.drain(rng.millis(0, 1_000));
                draining.push((Instant::now() + rng.millis(100, 20_000), session));
            } else {
                session.close(SessionCloseReason::ServerShutdown);
            }
            simulation.coverage.lock().hit_fault(fault);
        }
    }
}

/// The tasks of a manager: the deadline queue, and the reclaim of memory.
const MANAGER_TASKS: usize = 2;

/// Waits until all sessions are closed and all tasks have ended.
async fn wait_until_idle(parameters: &Parameters, manager: &SessionManager) -> Result<(), String> {
    let bound = parameters.quiescence_bound();
    let end = Instant::now() + bound;
    let tasks = || Handle::current().metrics().num_alive_tasks().saturating_sub(MANAGER_TASKS);
    while manager.sessions() > 0 || tasks() > 0 {
        if Instant::now() >= end {
            let (sessions, tasks) = (manager.sessions(), tasks());
            return Err(format!("{bound:?} later, {sessions} sessions and {tasks} tasks are left"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
