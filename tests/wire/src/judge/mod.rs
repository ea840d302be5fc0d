//! The judge: holds what clients saw, and what backends heard, against the journals of
//! their sessions.
//!
//! The session is deterministic, so its journal says what it did: the nine laws are checked
//! once more, step by step, and it becomes known what stood where on which stream. All
//! that the shell, HTTP and the links in between made of it is then judged by what came
//! out at both ends. Of the program's own server, the end of the clients alone is known.

mod heard;
mod history;
mod outcomes;
mod steady;
mod streams;
mod times;

use std::time::Duration;

use rejoin_core::{CloseReason, Config};
use rejoin_tests::journal::Journal;
use rejoin_tests::world::Tally;

use self::history::History;
use crate::backend::Hearing;
use crate::knobs::{Kind, Knobs, timeouts};
use crate::visit::Visit;

/// One session, as it is judged.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) knobs: &'a Knobs,
    pub(crate) journal: &'a Journal,
    /// What its client did and saw, if it got that far.
    pub(crate) visit: Option<&'a Visit>,
    /// What its backend heard.
    pub(crate) heard: Option<&'a Hearing>,
}

/// Judges a session that is over.
///
/// # Errors
///
/// What was wrong first.
pub(crate) fn judge(case: &Case<'_>, tally: &mut Tally) -> Result<(), String> {
    let config = &case.journal.config;
    check_config(case.knobs, config)?;
    let mut history = History::default();
    // A process that asks what is refused is told so on its stdin.
    history.hears_refusals = case.knobs.kind == Kind::Child;
    let unrelated = config.unrelated_routing;
    let watched = case.journal.check_with(|before, step| {
        tally.stats.count(step);
        history.note(unrelated, before, step, tally)
    });
    watched.map_err(|(nth, wrong)| format!("input {nth} of the journal: {wrong}"))?;
    let Some(closed) = history.closed else {
        return Err("the journal says nothing of the end of the session".to_owned());
    };
    tally.add(history::end_kind(closed.reason));
    let is_known = match case.knobs.kind {
        Kind::Task | Kind::Handler => true,
        // A process tells its client's name, which is unknown where nobody has entered.
        Kind::Child => case.visit.is_some(),
        Kind::Demo => false,
    };
    if is_known {
        // A backend that was never opened is one that has heard nothing.
        let nothing = Hearing::default();
        let hearing = case.heard.unwrap_or(&nothing);
        let said_max = config.server_requests_max.saturating_add(config.pending_requests_max);
        heard::check(&history, closed.reason, hearing, said_max)?;
        if let Some(visit) = case.visit {
            let is_cut = closed.reason == CloseReason::BackendGone || hearing.is_dead;
            heard::check_told(&visit.record.lock().told, hearing, is_cut)?;
        }
    }
    let Some(visit) = case.visit else { return Ok(()) };
    let record = visit.record.lock();
    let is_stamped = case.knobs.kind != Kind::Demo;
    for reading in &record.readings {
        let stream = streams::check(&history, reading, is_stamped)
            .map_err(|wrong| format!("{:?}: {wrong}", reading.kind))?;
        streams::check_owner(&history, reading, stream)?;
        times::check(&history, reading, stream, visit.began, case.knobs.hurry > 1)
            .map_err(|wrong| format!("{:?}: {wrong}", reading.kind))?;
    }
    steady::check(case.knobs, &history, &record, tally)?;
    outcomes::check(&history, case.journal, visit.began, &record, tally)
}

/// Checks that a session was held to what the knobs say, whatever the program says.
fn check_config(knobs: &Knobs, found: &Config) -> Result<(), String> {
    let mut expected = knobs.settings().session;
    if matches!(knobs.kind, Kind::Child | Kind::Demo) {
        // The program is told whole milliseconds.
        let whole_millis = |time: Duration| {
            Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        for time in timeouts(&mut expected) {
            *time = time.map(whole_millis);
        }
        expected.stall_timeout_min = whole_millis(expected.stall_timeout_min);
        // It has no option for this one.
        expected.reservation_timeout = Config::default().reservation_timeout;
    }
    if *found == expected {
        return Ok(());
    }
    Err(format!("the session was held to other limits: {found:?}, and not {expected:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_listen_to_its_options_is_seen() {
        for kind in [Kind::Task, Kind::Child, Kind::Demo] {
            let knobs = Knobs { kind, ..Knobs::draw(3) };
            let mut config = knobs.settings().session;
            if kind != Kind::Task {
                config.reservation_timeout = Config::default().reservation_timeout;
            }
            assert_eq!(check_config(&knobs, &config), Ok(()));
            let more = Config { shadows_max: config.shadows_max + 1, ..config.clone() };
            assert!(check_config(&knobs, &more).is_err());
            assert!(
                check_config(&knobs, &Config { stall_disconnect_timeout: None, ..config }).is_err()
            );
        }
    }
}
