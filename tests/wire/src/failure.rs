//! Failed simulations: the session, its trace and its journal.

use std::fs;
use std::path::Path;

use rejoin_tests::kit::{self, FailedSession};

use crate::client_session::ClientSession;
use crate::parameters::Parameters;

/// A failed simulation.
pub type Failure = kit::Failure<Parameters>;

/// Returns the session in which a simulation failed.
pub(crate) fn failed_session(session: &ClientSession, journals: &Path) -> FailedSession {
    FailedSession {
        description: format!("client session {}, session id {}", session.name, session.id),
        trace: session.recent_trace(),
        journal: fs::read_to_string(journals.join(journal_name(&session.id))).ok(),
    }
}

/// Returns the file name of a session's journal: the first half of its id.
pub(crate) fn journal_name(session: &str) -> String {
    format!("{}.jsonl", session.get(..session.len() / 2).unwrap_or_default())
}
