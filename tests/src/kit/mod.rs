//! What the simulations have in common: those of the core in [`crate::simulation`], and those over
//! the wire.
//!
//! [`Parameters`] are drawn from a seed, with the rates of [`Faults`]; `plan` draws what a backend
//! does for each request, and each actor has an [`Rng`] of its own. [`checker`] checks what
//! clients receive, [`Coverage`] counts what has happened, `shrink` minimizes a failure, and a
//! [`Suite`] runs many seeds.

pub mod checker;
mod coverage;
mod faults;
mod parameters;
mod plan;
mod rng;
mod shrink;
mod suite;

pub use coverage::Coverage;
pub use faults::{Fault, Faults};
pub use parameters::{ACCEPTED_REQUESTS_MIN, DeliberateBug, Parameters};
pub use plan::{BackendAction, plan_response, plan_unrelated};
pub use rng::Rng;
pub use shrink::{failure_class, minimize, minimize_journal, without_limits};
pub use suite::{Suite, variable};
