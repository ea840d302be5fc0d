//! What the simulations have in common: those of the core in [`crate::simulation`], and those over
//! the wire.
//!
//! [`Parameters`] are drawn from a seed, with the rates of [`Faults`]; `plan` draws what a backend
//! does for each request, and each actor has an [`Rng`] of its own. [`checker`] checks what
//! clients receive, and [`Coverage`] counts what has happened. A [`Suite`] runs many seeds;
//! [`shrink()`] minimizes a [`Failure`]. A [`DeliberateBug`] tests the checkers.

pub mod checker;
mod coverage;
mod deliberate_bug;
mod failure;
mod faults;
mod parameters;
mod plan;
mod request_id;
mod rng;
mod shrink;
mod suite;

pub use coverage::Coverage;
pub use deliberate_bug::DeliberateBug;
pub use failure::{FailedSession, Failure};
pub use faults::{Fault, Faults};
pub use parameters::{ACCEPTED_REQUESTS_MIN, FAULT_PHASE_MAX, Parameters};
pub use plan::{BackendAction, plan_initialize, plan_response, plan_unrelated};
pub use request_id::request_id;
pub use rng::Rng;
pub use shrink::{failure_class, shrink, without_limits};
pub use suite::{Suite, variable};
