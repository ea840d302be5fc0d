//! Failures: what was wrong with a world, to be read and to be run again.

use std::fmt;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::knobs::Knobs;
use crate::visit::Visit;

/// What was wrong with a world.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which world.
    pub knobs: Knobs,
    /// What was wrong.
    pub what: String,
    /// By what the client and the server know the session that was concerned.
    session: Option<(String, String)>,
    /// What came over its wires at last.
    trail: Vec<String>,
    /// Its journal.
    journal: Option<String>,
    /// Where it is kept, when the world is gone.
    kept: Option<PathBuf>,
}

impl Failure {
    pub(crate) fn new(knobs: &Knobs, what: String) -> Box<Self> {
        Box::new(Self {
            knobs: knobs.clone(),
            what,
            session: None,
            trail: Vec::new(),
            journal: None,
            kept: None,
        })
    }

    /// A world in which something was wrong in a session.
    pub(crate) fn of(knobs: &Knobs, what: String, visit: &Visit, journals: &Path) -> Box<Self> {
        let mut failure = Self::new(knobs, what);
        failure.session = Some((visit.name.clone(), visit.session.clone()));
        failure.trail = visit.trail();
        failure.journal = std::fs::read_to_string(journals.join(file_of(&visit.session))).ok();
        failure
    }

    /// Writes the journal to where it is found when the world is gone, under a name that no
    /// other one has.
    #[must_use]
    pub fn keep(mut self: Box<Self>) -> Box<Self> {
        self.kept = self.journal.as_ref().and_then(|journal| {
            let prefix = format!("rejoin-wire-{}-", self.knobs.world.seed);
            let file = Builder::new().prefix(&prefix).suffix(".jsonl").tempfile().ok()?;
            let (_, path) = file.keep().ok()?;
            std::fs::write(&path, journal).is_ok().then_some(path)
        });
        self
    }

    /// Adds a journal.
    pub(crate) fn with_journal(mut self: Box<Self>, journal: String) -> Box<Self> {
        self.journal = Some(journal);
        self
    }
}

/// Returns the name of the journal of a session: the first half of its id.
pub(crate) fn file_of(session: &str) -> String {
    format!("{}.jsonl", session.get(..session.len() / 2).unwrap_or_default())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knobs, what, session, trail, kept, journal: _ } = self;
        writeln!(f, "{knobs:?}")?;
        if let Some((client, server)) = session {
            writeln!(f, "session {client}, which the server calls {server}, at last:")?;
        }
        for line in trail {
            writeln!(f, "    {line}")?;
        }
        if let Some(path) = kept {
            writeln!(f, "its journal is {}", path.display())?;
        }
        write!(f, "seed {}: {what}", knobs.world.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_kept_once_for_each_failure_and_said_where() {
        let knobs = Knobs::draw(1);
        let failure = || Failure::new(&knobs, "wrong".to_owned()).with_journal("it".to_owned());
        assert!(!failure().to_string().contains("its journal is"));
        let (one, other) = (failure().keep(), failure().keep());
        assert_ne!(one.kept, other.kept);
        for failure in [one, other] {
            let path = failure.kept.as_ref().unwrap();
            assert!(failure.to_string().contains(&format!("its journal is {}", path.display())));
            assert_eq!(std::fs::read_to_string(path).unwrap(), "it");
            std::fs::remove_file(path).unwrap();
        }
    }
}
