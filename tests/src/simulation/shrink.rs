//! Minimization of failing simulations.

use super::{Failure, run};
use crate::kit::{Parameters, failure_class, minimize, minimize_journal};

/// Minimizes a failing simulation by removing clients, requests, faults and limits, and its
/// journal to the inputs that break a law.
#[must_use]
pub fn shrink(failure: Box<Failure>) -> Box<Failure> {
    let parameters = failure.parameters.clone();
    let known = failure_class(&failure.message);
    let fails = |parameters: &Parameters| {
        run(parameters).err().filter(|failure| failure_class(&failure.message) == known)
    };
    let (_, mut found) = minimize(parameters, failure, fails);
    found.minimized = minimize_journal(&found.journal);
    found
}
