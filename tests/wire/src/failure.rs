//! Failures: what was wrong with a world, to be read and to be run again.

use std::fmt;
use std::path::{Path, PathBuf};

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
}

impl Failure {
    pub(crate) fn new(knobs: &Knobs, what: String) -> Box<Self> {
        Box::new(Self {
            knobs: knobs.clone(),
            what,
            session: None,
            trail: Vec::new(),
            journal: None,
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

    /// Writes a journal to where it is found, when the world is gone.
    fn keep(&self, journal: &str) -> Option<PathBuf> {
        let path =
            std::env::temp_dir().join(format!("rejoin-wire-{}.jsonl", self.knobs.world.seed));
        std::fs::write(&path, journal).is_ok().then_some(path)
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
        let Self { knobs, what, session, trail, journal } = self;
        writeln!(f, "{knobs:?}")?;
        if let Some((client, server)) = session {
            writeln!(f, "session {client}, which the server calls {server}, at last:")?;
        }
        for line in trail {
            writeln!(f, "    {line}")?;
        }
        if let Some(path) = journal.as_ref().and_then(|journal| self.keep(journal)) {
            writeln!(f, "its journal is {}", path.display())?;
        }
        write!(f, "seed {}: {what}", knobs.world.seed)
    }
}
