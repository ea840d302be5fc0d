//! The checker, which compares what clients and backends received with the journals of their
//! sessions.
//!
//! A session is deterministic, so its journal tells what it did: the ten laws are checked
//! again, step by step, and the messages on each stream become known. What the shell, HTTP and
//! the links made of it is then checked by what was received at both ends. Of the demo server,
//! only the client's end is known.

mod history;
mod kept;
mod latency;
mod outcomes;
mod received;
mod steady;
mod streams;

use std::time::Duration;

use rejoin_core::{Config, SessionCloseReason};
use rejoin_tests::journal::Journal;
use rejoin_tests::kit::Coverage;

use self::history::History;
pub(crate) use self::kept::{KeptChange, check as check_kept};
use crate::backend::Received;
use crate::client_session::ClientSession;
use crate::parameters::{BackendKind, Parameters, timeouts};

/// A session to be checked.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) parameters: &'a Parameters,
    pub(crate) journal: &'a Journal,
    /// The record of its client, if it got that far.
    pub(crate) session: Option<&'a ClientSession>,
    /// What its backend received.
    pub(crate) received: Option<&'a Received>,
}

/// Checks a session that has ended. Returns what it kept over time.
///
/// # Errors
///
/// The first failure.
pub(crate) fn check(case: &Case<'_>, coverage: &mut Coverage) -> Result<Vec<KeptChange>, String> {
    let config = &case.journal.config;
    check_config(case.parameters, config)?;
    let mut history = History::default();
    // A child process receives an error on stdin for a refused request.
    history.reports_refused_requests = case.parameters.backend == BackendKind::Child;
    let unrelated = config.unrelated_routing;
    let checked = case.journal.check_with(|before, step| {
        coverage.stats.count(step);
        history.record_step(unrelated, before, step, coverage)
    });
    checked.map_err(|(nth, failure)| format!("input {nth} of the journal: {failure}"))?;
    let Some(closed) = history.closed else {
        return Err("the journal does not contain the end of the session".to_owned());
    };
    coverage.hit(history::end_kind(closed.reason));
    let is_known = match case.parameters.backend {
        BackendKind::Task | BackendKind::Handler => true,
        // A child process records under its client's name, which is unknown if no client was
        // initialized.
        BackendKind::Child => case.session.is_some(),
        BackendKind::Demo => false,
    };
    if is_known {
        // A backend that was never opened has received nothing.
        let nothing = Received::default();
        let received = case.received.unwrap_or(&nothing);
        let session_messages_max =
            config.server_requests_max.saturating_add(config.pending_requests_max);
        received::check(&history, closed.reason, received, session_messages_max)?;
        if let Some(session) = case.session {
            let is_cut = closed.reason == SessionCloseReason::BackendGone || received.has_exited;
            received::check_sent(&session.record.lock().sent, received, is_cut)?;
        }
    }
    let Some(session) = case.session else { return Ok(history.kept) };
    let record = session.record.lock();
    let is_stamped = case.parameters.backend != BackendKind::Demo;
    for reader in &record.readers {
        let stream = streams::check(&history, reader, is_stamped)
            .map_err(|failure| format!("{:?}: {failure}", reader.kind))?;
        streams::check_owner(&history, reader, stream)?;
        latency::check(&history, reader, stream, session.started_at, case.parameters.speedup > 1)
            .map_err(|failure| format!("{:?}: {failure}", reader.kind))?;
    }
    steady::check(case.parameters, &history, &record, coverage)?;
    outcomes::check(&history, case.journal, session.started_at, &record, coverage)?;
    Ok(history.kept)
}

/// Checks that the config of a session is that of the parameters.
fn check_config(parameters: &Parameters, found: &Config) -> Result<(), String> {
    let mut expected = parameters.manager_config().session;
    if matches!(parameters.backend, BackendKind::Child | BackendKind::Demo) {
        // Options of the program are in whole milliseconds.
        let whole_millis = |time: Duration| {
            Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        for time in timeouts(&mut expected) {
            *time = time.map(whole_millis);
        }
        expected.stall_timeout_min = whole_millis(expected.stall_timeout_min);
    }
    if *found == expected {
        return Ok(());
    }
    Err(format!("the session has the wrong config: {found:?} instead of {expected:?}"))
}

#[cfg(test)]
mod tests {
    use rejoin_tests::config;

    use super::*;

    #[test]
    fn detects_wrong_config() {
        for kind in [BackendKind::Task, BackendKind::Child, BackendKind::Demo] {
            let parameters = Parameters { backend: kind, ..Parameters::draw(3) };
            let config = parameters.manager_config().session;
            assert_eq!(check_config(&parameters, &config), Ok(()));
            let more = config! { shadows_max: config.shadows_max + 1, ..config.clone() };
            assert!(check_config(&parameters, &more).is_err());
            assert!(
                check_config(&parameters, &config! { stall_disconnect_timeout: None, ..config })
                    .is_err()
            );
        }
    }
}
