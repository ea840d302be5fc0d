//! Failed simulations, with what it takes to reproduce them.

use std::fmt;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::client_session::ClientSession;
use crate::parameters::Parameters;

/// A failed simulation.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its parameters.
    pub parameters: Parameters,
    /// What failed.
    pub message: String,
    /// The client's name and the session id of the session in which it failed.
    session: Option<(String, String)>,
    /// The last lines of its trace.
    trace: Vec<String>,
    /// The text of its journal.
    journal: Option<String>,
    /// Where the journal was saved.
    journal_path: Option<PathBuf>,
}

impl Failure {
    pub(crate) fn new(parameters: &Parameters, message: String) -> Box<Self> {
        Box::new(Self {
            parameters: parameters.clone(),
            message,
            session: None,
            trace: Vec::new(),
            journal: None,
            journal_path: None,
        })
    }

    /// Returns a failure in a session.
    pub(crate) fn in_session(
        parameters: &Parameters,
        message: String,
        session: &ClientSession,
        journals: &Path,
    ) -> Box<Self> {
        let mut failure = Self::new(parameters, message);
        failure.session = Some((session.name.clone(), session.id.clone()));
        failure.trace = session.recent_trace();
        failure.journal = std::fs::read_to_string(journals.join(journal_name(&session.id))).ok();
        failure
    }

    /// Saves the journal to a file of its own, which outlives the simulation.
    #[must_use]
    pub fn save_journal(mut self: Box<Self>) -> Box<Self> {
        self.journal_path = self.journal.as_ref().and_then(|journal| {
            let prefix = format!("rejoin-wire-{}-", self.parameters.base.seed);
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

/// Returns the file name of a session's journal: the first half of its id.
pub(crate) fn journal_name(session: &str) -> String {
    format!("{}.jsonl", session.get(..session.len() / 2).unwrap_or_default())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, message, session, trace, journal_path, journal: _ } = self;
        writeln!(f, "{parameters:?}")?;
        if let Some((client, server)) = session {
            writeln!(f, "client session {client}, session id {server}, last lines:")?;
        }
        for line in trace {
            writeln!(f, "    {line}")?;
        }
        if let Some(path) = journal_path {
            writeln!(f, "journal: {}", path.display())?;
        }
        write!(f, "seed {}: {message}", parameters.base.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_one_journal_per_failure_and_reports_path() {
        let parameters = Parameters::draw(1);
        let failure =
            || Failure::new(&parameters, "wrong".to_owned()).with_journal("it".to_owned());
        assert!(!failure().to_string().contains("journal:"));
        let (one, other) = (failure().save_journal(), failure().save_journal());
        assert_ne!(one.journal_path, other.journal_path);
        for failure in [one, other] {
            let path = failure.journal_path.as_ref().unwrap();
            assert!(failure.to_string().contains(&format!("journal: {}", path.display())));
            assert_eq!(std::fs::read_to_string(path).unwrap(), "it");
            std::fs::remove_file(path).unwrap();
        }
    }
}
