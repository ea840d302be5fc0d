//! Runs of whole histories.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Failure, harness::Harness};
use crate::history::{Op, Setup, decode};
use crate::stats::Stats;

/// How to run a history.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The configuration and the start.
    pub setup: &'a Setup,
    /// The ops.
    pub ops: &'a [Op],
    /// After this many ops, all connections are dropped and the twin is restored from a
    /// snapshot, at another time; 0 is never.
    pub restore_every: usize,
}

impl Plan<'_> {
    /// Runs the history, and checks every step against the model and the laws.
    ///
    /// # Errors
    ///
    /// The first step on which they disagree, or that breaks a law.
    pub fn run(&self, stats: &mut Stats) -> Result<(), Box<Failure>> {
        let mut harness = match Harness::new(self.setup, 0, self.setup.epoch) {
            Ok(harness) => harness,
            Err(error) => return Err(Box::new(Failure::early(self.setup, error.to_string()))),
        };
        for (op, nth) in self.ops.iter().zip(1..) {
            let outcome = catch_panic(|| {
                harness.step(*op, stats)?;
                if self.restores_after(nth) {
                    harness.restore(nth, stats)?;
                }
                Ok(())
            });
            if let Err(reason) = outcome {
                return Err(Box::new(harness.failure(nth, reason)));
            }
            harness.restart_if_closed();
        }
        stats.sessions += harness.sessions();
        Ok(())
    }

    /// Returns a shorter history that still fails, and its failure, or `None` if this one
    /// does not fail. It leaves out pieces of decreasing size.
    #[must_use]
    pub fn minimize(&self) -> Option<(Vec<Op>, Box<Failure>)> {
        let fails = |ops: &[Op]| Plan { ops, ..*self }.run(&mut Stats::default()).err();
        let mut failure = fails(self.ops)?;
        let mut ops: Vec<Op> = self.ops.iter().take(failure.ops).copied().collect();
        let mut size = ops.len() / 2;
        while size > 0 {
            let mut at = ops.len();
            while at > 0 {
                at = at.saturating_sub(size);
                let mut fewer = ops.clone();
                fewer.drain(at..(at + size).min(ops.len()));
                if let Some(found) = fails(&fewer) {
                    ops = fewer.into_iter().take(found.ops).collect();
                    failure = found;
                    at = at.min(ops.len());
                }
            }
            size /= 2;
        }
        Some((ops, failure))
    }

    fn restores_after(&self, nth: usize) -> bool {
        nth.checked_rem(self.restore_every) == Some(0)
    }
}

/// Converts a panic into an error, so that the history can be reported.
fn catch_panic(act: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs the history that is decoded from bytes, once without and once with restores.
///
/// # Panics
///
/// If a step breaks a law, or the model disagrees.
pub fn run_bytes(data: &[u8]) {
    let (setup, ops) = decode(data);
    for restore_every in [0, 16] {
        let plan = Plan { setup: &setup, ops: &ops, restore_every };
        let failure = plan.run(&mut Stats::default()).err();
        assert!(failure.is_none(), "{}", failure.map(|it| it.to_string()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::generate;

    #[test]
    fn any_bytes_run() {
        let bytes: Vec<u8> = (0..=250).cycle().take(2_000).collect();
        for length in [0, 1, 40, 500, 2_000] {
            run_bytes(&bytes[..length]);
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(catch_panic(|| Ok(())), Ok(()));
        assert_eq!(catch_panic(|| panic!("code {}", 7)), Err("panicked: code 7".to_owned()));
    }

    #[test]
    fn a_history_that_passes_is_not_minimized() {
        let (setup, ops) = generate(1, 50);
        assert!(Plan { setup: &setup, ops: &ops, restore_every: 0 }.minimize().is_none());
    }
}
