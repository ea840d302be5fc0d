//! The phases of a simulation: first with faults, then without.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rejoin_tests::journal::Journal;
use rejoin_tests::kit::{Coverage, FailedSession};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::backend::ReceivedBySession;
use crate::checker::{Case, KeptChange, check, check_kept};
use crate::client;
use crate::client_session::ClientSession;
use crate::failure::{Failure, failed_session, journal_name};
use crate::parameters::Parameters;
use crate::simulation::{Records, Simulation, Workload};

/// Runs a simulation from the start until all clients have stopped.
///
/// Faults are injected until all requests have been made. If that takes longer than
/// `faults_max`, the simulation has failed, except in a soak, where each client then makes one
/// more request without faults.
pub(crate) async fn run(simulation: &Arc<Simulation>, faults_max: Duration) -> Result<(), String> {
    let mut clients = JoinSet::new();
    for no in simulation.workloads.keys() {
        clients.spawn(client::run(Arc::clone(simulation), *no));
    }
    let made = timeout(faults_max, simulation.wait_for_all(Workload::is_sent)).await;
    simulation.stop_faults();
    if made.is_err() && simulation.parameters.is_soak {
        simulation.limit_requests_left();
    } else if made.is_err() {
        let message = format!("after {faults_max:?}, some requests have not been made:");
        return Err(describe_stuck_clients(simulation, message, Workload::is_sent));
    }
    let bound = simulation.parameters.settle_bound();
    let settled = timeout(bound, simulation.wait_for_all(Workload::is_settled)).await;
    simulation.stop_clients();
    settled.map_err(|_| {
        let message = format!("after {bound:?} without faults, some requests have not settled:");
        describe_stuck_clients(simulation, message, Workload::is_settled)
    })?;
    let bound = simulation.parameters.quiescence_bound();
    let stopped = timeout(bound, async {
        while let Some(joined) = clients.join_next().await {
            joined.map_err(|error| format!("a client failed: {error}"))?;
        }
        Ok(())
    });
    stopped.await.map_err(|_| format!("after {bound:?}, some clients have not stopped"))?
}

/// How many requests a failure shows.
const SHOWN_MAX: usize = 20;

/// Describes pending requests and the remaining work of each client, and reports a failure in
/// the session of a client that is behind.
fn describe_stuck_clients(
    simulation: &Simulation,
    message: String,
    condition: impl Fn(&Workload) -> bool,
) -> String {
    let sessions = simulation.sessions();
    let mut text = message;
    let mut records = SHOWN_MAX;
    for session in &sessions {
        let record = session.record.lock();
        let open = record.requests.iter().filter(|it| it.outcome.is_none() && !it.is_refused);
        for request in open.take(records) {
            records -= 1;
            // Writing to a string does not fail.
            let _ = write!(text, "\n    {} {request:?}", session.name);
        }
    }
    for (no, workload) in &simulation.workloads {
        let _ = write!(text, "\n    client {no}: {workload:?}");
    }
    let mut late = simulation.workloads.iter().filter(|(_, workload)| !condition(workload));
    let last = late.find_map(|(no, _)| {
        let client = format!("{no}/");
        sessions.iter().rfind(|session| session.name.starts_with(&client))
    });
    simulation.report_failure(last, text.clone());
    text
}

/// Checks the records of a simulation, all of whose sessions have ended. Returns the failures
/// of the run and of each session.
pub(crate) fn check_all(
    parameters: &Parameters,
    records: &mut Records,
    received: &ReceivedBySession,
    journals: &Path,
) -> io::Result<Vec<Failure>> {
    let mut failures = Vec::new();
    if let Some((session, message)) = records.failure.take() {
        // The sessions were not run to their ends.
        let session = session.map(|session| failed_session(&session, journals));
        failures.push(*Failure::new(parameters, message, session));
        return Ok(failures);
    }
    let files = fs::read_dir(journals)?.map(|file| Ok(file?.path()));
    let mut paths = files.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for session in &records.sessions {
        if !paths.iter().any(|path| path.ends_with(journal_name(&session.id))) {
            let message = "the journal of a session is missing".to_owned();
            let session = failed_session(session, journals);
            failures.push(*Failure::new(parameters, message, Some(session)));
        }
    }
    let mut kept = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let session =
            records.sessions.iter().find(|session| path.ends_with(journal_name(&session.id)));
        let checked = check_session(
            parameters,
            session.map(|it| &**it),
            received,
            &path,
            &text,
            &mut records.coverage,
        );
        match checked {
            Ok(changes) => kept.push(changes),
            Err(message) => {
                let session = session.map_or_else(
                    || FailedSession {
                        description: format!("{}, which no client knows", path.display()),
                        trace: Vec::new(),
                        journal: Some(text),
                    },
                    |session| failed_session(session, journals),
                );
                failures.push(*Failure::new(parameters, message, Some(session)));
            }
        }
    }
    if let Err(message) = check_kept(parameters, &kept) {
        failures.push(*Failure::new(parameters, message, None));
    }
    Ok(failures)
}

fn check_session(
    parameters: &Parameters,
    session: Option<&ClientSession>,
    received: &ReceivedBySession,
    path: &Path,
    text: &str,
    coverage: &mut Coverage,
) -> Result<Vec<KeptChange>, String> {
    let journal = Journal::read(text)?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let received =
        received.of(&name.unwrap_or_default(), session.map(|session| session.name.as_str()));
    check(&Case { parameters, journal: &journal, session, received: received.as_ref() }, coverage)
}
