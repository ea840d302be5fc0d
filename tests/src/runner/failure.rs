//! Failures of histories, formatted for people.

use std::collections::VecDeque;
use std::fmt;

use rejoin_core::{Config, Input, Instant};

use crate::history::Setup;
use crate::laws::Step;

/// A failed history.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) config: Config,
    /// The last steps, up to the failed one.
    pub(super) steps: VecDeque<Step>,
    /// The input that failed before it became a step, if any.
    pub(super) pending_input: Option<(Instant, Input<u64>)>,
    /// How many ops were run.
    pub(super) ops: usize,
    pub(super) reason: String,
}

impl Failure {
    /// Returns the failure of a history whose session could not be created.
    pub(super) fn early(setup: &Setup, reason: String) -> Self {
        let config = setup.config.clone();
        Self { config, steps: VecDeque::new(), pending_input: None, ops: 0, reason }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.config)?;
        writeln!(f, "after {} ops, the last steps:", self.ops)?;
        for step in &self.steps {
            write!(f, "{step}")?;
        }
        if let Some((now, input)) = &self.pending_input {
            writeln!(f, "{now:?} {input:?}")?;
        }
        write!(f, "{}", self.reason)
    }
}
