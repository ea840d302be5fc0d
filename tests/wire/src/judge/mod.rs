//! The judge: holds what clients saw, and what backends heard, against the journals of
//! their sessions.
//!
//! The session is deterministic, so its journal says what it did: the nine laws are checked
//! once more, step by step, and it becomes known what stood where on which stream. All
//! that the shell, HTTP and the links in between made of it is then judged by what came
//! out at both ends.

mod heard;
mod history;
mod outcomes;
mod streams;
mod times;

use rejoin_tests::journal::Journal;
use rejoin_tests::world::Tally;

use self::history::History;
use crate::backend::Heard;
use crate::knobs::{Kind, Knobs};
use crate::visit::Visit;

/// One session, as it is judged.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) knobs: &'a Knobs,
    pub(crate) journal: &'a Journal,
    /// What its client did and saw, if it got that far.
    pub(crate) visit: Option<&'a Visit>,
    /// What its backend heard, where that is known.
    pub(crate) heard: Option<&'a [Heard]>,
}

/// Judges a session that is over.
///
/// # Errors
///
/// What was wrong first.
pub(crate) fn judge(case: &Case<'_>, tally: &mut Tally) -> Result<(), String> {
    let mut history = History::default();
    let unrelated = case.journal.config.unrelated;
    let watched = case.journal.watch(|before, step| {
        tally.stats.count(step);
        history.note(unrelated, before, step, tally)
    });
    watched.map_err(|(nth, wrong)| format!("input {nth} of the journal: {wrong}"))?;
    let Some(closed) = history.closed else {
        return Err("the journal says nothing of the end of the session".to_owned());
    };
    tally.add(history::end_kind(closed.reason));
    if let Some(heard) = case.heard {
        heard::check(&history, closed.reason, heard)?;
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
    outcomes::check(&history, case.journal, visit.began, &record, tally)
}
