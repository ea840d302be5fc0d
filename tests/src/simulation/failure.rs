//! Failed simulations, with what it takes to reproduce them.

use std::collections::VecDeque;
use std::fmt;

use rejoin_core::Instant;

use super::Simulation;
use crate::journal::Journal;
use crate::kit::Parameters;
use crate::laws::Step;

/// A failed simulation.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its parameters.
    pub parameters: Parameters,
    /// What failed.
    pub message: String,
    /// The session in which it failed, the number of its restores, and its last steps.
    session: Option<usize>,
    restores: u64,
    steps: VecDeque<Step>,
    /// All inputs of this session, without restores.
    pub journal: Journal,
    /// The smallest part of the journal that still breaks a law, and the law.
    pub minimized: Option<(Journal, String)>,
}

impl Failure {
    /// Returns a failure before the simulation has started.
    pub(super) fn before_start(parameters: &Parameters, message: String) -> Self {
        let config = parameters.config.clone();
        Self {
            parameters: parameters.clone(),
            message,
            session: None,
            restores: 0,
            steps: VecDeque::new(),
            journal: Journal { config, started_at: Instant::EPOCH, inputs: Vec::new() },
            minimized: None,
        }
    }

    pub(super) fn new(
        parameters: &Parameters,
        simulation: &mut Simulation,
        message: String,
    ) -> Self {
        let mut failure = Self::before_start(parameters, message);
        failure.session = simulation.failed_session;
        if let Some(server) =
            simulation.failed_session.and_then(|no| simulation.servers.get_mut(no))
        {
            failure.restores = server.restores;
            failure.steps = std::mem::take(&mut server.steps);
            failure.journal.started_at = server.started_at;
            let inputs = std::mem::take(&mut server.inputs).into_iter();
            let without_body = inputs.map(|(now, input)| (now, input.map(|_, _| ())));
            failure.journal.inputs = without_body.collect();
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, message, session, restores, steps, journal, minimized } = self;
        writeln!(f, "{parameters:?}")?;
        let inputs = journal.inputs.len();
        writeln!(
            f,
            "session {session:?}, restored {restores} times, {inputs} inputs, last steps:"
        )?;
        for step in steps {
            write!(f, "{step}")?;
        }
        if let Some((journal, failure)) = minimized {
            writeln!(f, "minimized journal of {} inputs:", journal.inputs.len())?;
            writeln!(f, "{journal}{failure}")?;
        }
        write!(f, "seed {}: {message}", parameters.seed)
    }
}
