//! Failed simulations, with what it takes to reproduce them.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use tempfile::Builder;

use super::Parameters;
use crate::journal::Journal;

/// A failed simulation with parameters `P`, which include [`Parameters`].
#[derive(Clone, Debug)]
pub struct Failure<P> {
    /// Its parameters.
    pub parameters: P,
    /// What failed.
    pub message: String,
    /// The session in which it failed.
    pub session: Option<FailedSession>,
    /// The smallest part of the journal that still breaks a law, and the law.
    pub minimized: Option<(Journal, String)>,
    /// Where the journal was saved.
    journal_path: Option<PathBuf>,
}

/// A session in which something failed.
#[derive(Clone, Debug)]
pub struct FailedSession {
    /// What identifies it.
    pub description: String,
    /// The last lines of its trace.
    pub trace: Vec<String>,
    /// The text of its journal.
    pub journal: Option<String>,
}

impl<P: Clone> Failure<P> {
    /// Returns a failure, which may belong to a session.
    pub fn new(parameters: &P, message: String, session: Option<FailedSession>) -> Box<Self> {
        Box::new(Self {
            parameters: parameters.clone(),
            message,
            session,
            minimized: None,
            journal_path: None,
        })
    }
}

impl<P> Failure<P> {
    /// Returns the text of the journal.
    #[must_use]
    pub fn journal(&self) -> Option<&str> {
        self.session.as_ref()?.journal.as_deref()
    }
}

impl<P: AsRef<Parameters>> Failure<P> {
    /// Saves the journal to a file of its own, which outlives the simulation.
    #[must_use]
    pub fn save_journal(mut self: Box<Self>) -> Box<Self> {
        self.journal_path = self.journal().and_then(|journal| {
            let prefix = format!("rejoin-{}-", self.parameters.as_ref().seed);
            let file = Builder::new().prefix(&prefix).suffix(".jsonl").tempfile().ok()?;
            let (_, path) = file.keep().ok()?;
            fs::write(&path, journal).is_ok().then_some(path)
        });
        self
    }
}

impl<P: AsRef<Parameters> + fmt::Debug> fmt::Display for Failure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, message, session, minimized, journal_path } = self;
        writeln!(f, "{parameters:?}")?;
        if let Some(FailedSession { description, trace, journal: _ }) = session {
            writeln!(f, "{description}, last lines:")?;
            for line in trace {
                writeln!(f, "    {line}")?;
            }
        }
        if let Some((journal, failure)) = minimized {
            writeln!(f, "minimized journal of {} inputs:", journal.inputs.len())?;
            writeln!(f, "{journal}{failure}")?;
        }
        if let Some(path) = journal_path {
            writeln!(f, "journal: {}", path.display())?;
        }
        write!(f, "seed {}: {message}", parameters.as_ref().seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_one_journal_per_failure_and_reports_path() {
        let session = FailedSession {
            description: "session 1".to_owned(),
            trace: Vec::new(),
            journal: Some("it".to_owned()),
        };
        let parameters = Parameters::draw(1);
        let failure = || Failure::new(&parameters, "wrong".to_owned(), Some(session.clone()));
        assert!(!failure().to_string().contains("journal:"));
        let (one, other) = (failure().save_journal(), failure().save_journal());
        assert_ne!(one.journal_path, other.journal_path);
        for failure in [one, other] {
            let path = failure.journal_path.as_ref().unwrap();
            assert!(failure.to_string().contains(&format!("journal: {}", path.display())));
            assert_eq!(fs::read_to_string(path).unwrap(), "it");
            fs::remove_file(path).unwrap();
        }
    }
}
