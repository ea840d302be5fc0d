//! Failures: where a history went wrong, to be read.

use std::collections::VecDeque;
use std::fmt;

use rejoin_core::{Config, Input, Instant};

use crate::history::Setup;
use crate::laws::Step;

/// What went wrong with a history.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) config: Config,
    /// The last steps, up to the one that failed.
    pub(super) steps: VecDeque<Step>,
    /// The input that followed, if it made no step.
    pub(super) tried: Option<(Instant, Input<u64>)>,
    /// How many ops it took.
    pub(super) ops: usize,
    pub(super) what: String,
}

impl Failure {
    /// A history that could not even begin.
    pub(super) fn early(setup: &Setup, what: String) -> Self {
        let config = setup.config.clone();
        Self { config, steps: VecDeque::new(), tried: None, ops: 0, what }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.config)?;
        writeln!(f, "after {} ops, the last steps:", self.ops)?;
        for step in &self.steps {
            write!(f, "{step}")?;
        }
        if let Some((now, input)) = &self.tried {
            writeln!(f, "{now:?} {input:?}")?;
        }
        write!(f, "{}", self.what)
    }
}
