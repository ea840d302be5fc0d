//! Failures: what was wrong with a world, to be read and to be run again.

use std::collections::VecDeque;
use std::fmt;

use rejoin_core::{Action, Input, Instant};

use super::{Knobs, World};
use crate::laws::Step;

/// The inputs of a session, with their times.
pub(super) type Tape = Vec<(Instant, Input<u64>)>;

/// What was wrong with a world.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which world.
    pub knobs: Knobs,
    /// What was wrong.
    pub what: String,
    /// Which session was concerned, how often it was restored, and its last steps.
    session: Option<usize>,
    restarts: u64,
    steps: VecDeque<Step>,
    /// All that happened to that session.
    pub(super) tape: Tape,
    /// As few inputs as break a law alike, where inputs alone do.
    pub(super) least: Option<(Tape, String)>,
}

impl Failure {
    /// A world that could not even begin.
    pub(super) fn early(knobs: &Knobs, what: String) -> Self {
        Self {
            knobs: knobs.clone(),
            what,
            session: None,
            restarts: 0,
            steps: VecDeque::new(),
            tape: Vec::new(),
            least: None,
        }
    }

    pub(super) fn of(knobs: &Knobs, world: &mut World, what: String) -> Self {
        let mut failure = Self::early(knobs, what);
        failure.session = world.suspect;
        if let Some(server) = world.suspect.and_then(|no| world.servers.get_mut(no)) {
            failure.restarts = server.restarts;
            failure.steps = std::mem::take(&mut server.steps);
            failure.tape = std::mem::take(&mut server.tape);
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knobs, what, session, restarts, steps, tape, least } = self;
        writeln!(f, "{knobs:#?}")?;
        writeln!(f, "session {session:?}, restored {restarts} times, {} inputs", tape.len())?;
        for step in steps {
            writeln!(f, "{:?} {:?}", step.now, step.input)?;
            writeln!(f, "    {:?}; then due {:?}", step.result, step.after.deadline)?;
            let mut replays = step.replays.iter();
            for action in &step.actions {
                writeln!(f, "    -> {action:?}")?;
                if matches!(action, Action::Replay { .. }) {
                    writeln!(f, "       {:?}", replays.next())?;
                }
            }
        }
        if let Some((inputs, broken)) = least {
            writeln!(f, "these {} inputs are enough for \"{broken}\":", inputs.len())?;
            for (now, input) in inputs {
                writeln!(f, "{now:?} {input:?}")?;
            }
        }
        write!(f, "seed {}: {what}", knobs.seed)
    }
}
