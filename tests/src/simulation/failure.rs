//! Failed simulations: the session, its last steps and its journal.

use super::Simulation;
use crate::journal::Journal;
use crate::kit::{self, FailedSession, Parameters};

/// A failed simulation.
pub type Failure = kit::Failure<Parameters>;

impl Simulation {
    /// Returns the session in which the simulation failed. Its journal has no restores.
    pub(super) fn take_failed_session(&mut self) -> Option<FailedSession> {
        let no = self.failed_session?;
        let server = self.servers.get_mut(no)?;
        let inputs = std::mem::take(&mut server.inputs).into_iter();
        let inputs: Vec<_> =
            inputs.map(|(now, input)| (now, input.map(|_, _| (), |_, _| ()))).collect();
        let (restores, count) = (server.restores, inputs.len());
        let journal = Journal {
            config: self.parameters.config.clone(),
            started_at: server.started_at,
            inputs,
        };
        let steps: String = server.steps.iter().map(ToString::to_string).collect();
        Some(FailedSession {
            description: format!("session {no}, restored {restores} times, {count} inputs"),
            trace: steps.lines().map(str::to_owned).collect(),
            journal: Some(journal.to_string()),
        })
    }
}
