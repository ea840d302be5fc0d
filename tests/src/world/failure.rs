//! Failures: what was wrong with a world, to be read and to be run again.

use std::collections::VecDeque;
use std::fmt;

use rejoin_core::Instant;

use super::{Knobs, World};
use crate::journal::Journal;
use crate::laws::Step;

/// What was wrong with a world.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which world.
    pub knobs: Knobs,
    /// What was wrong.
    pub what: String,
    /// The session that was concerned, how often it was restored, and its last steps.
    session: Option<usize>,
    restarts: u64,
    steps: VecDeque<Step>,
    /// All that this session was told, restores left out.
    pub journal: Journal,
    /// The part of it that is left where a part breaks a law, too, and which.
    pub least: Option<(Journal, String)>,
}

impl Failure {
    /// A world that could not even begin.
    pub(super) fn early(knobs: &Knobs, what: String) -> Self {
        let config = knobs.config.clone();
        Self {
            knobs: knobs.clone(),
            what,
            session: None,
            restarts: 0,
            steps: VecDeque::new(),
            journal: Journal { config, started_at: Instant::EPOCH, inputs: Vec::new() },
            least: None,
        }
    }

    pub(super) fn of(knobs: &Knobs, world: &mut World, what: String) -> Self {
        let mut failure = Self::early(knobs, what);
        failure.session = world.suspect;
        if let Some(server) = world.suspect.and_then(|no| world.servers.get_mut(no)) {
            failure.restarts = server.restarts;
            failure.steps = std::mem::take(&mut server.steps);
            failure.journal.started_at = server.began;
            let inputs = std::mem::take(&mut server.inputs).into_iter();
            let without_body = inputs.map(|(now, input)| (now, input.map(|_, _| ())));
            failure.journal.inputs = without_body.collect();
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knobs, what, session, restarts, steps, journal, least } = self;
        writeln!(f, "{knobs:?}")?;
        let told = journal.inputs.len();
        writeln!(
            f,
            "session {session:?}, restored {restarts} times, told {told} inputs, at last:"
        )?;
        for step in steps {
            write!(f, "{step}")?;
        }
        if let Some((journal, wrong)) = least {
            writeln!(f, "this journal of {} inputs is enough:", journal.inputs.len())?;
            writeln!(f, "{journal}{wrong}")?;
        }
        write!(f, "seed {}: {what}", knobs.seed)
    }
}
