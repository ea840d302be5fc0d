//! Common parts of the simulations: those of the core in [`crate::simulation`], and those over the
//! wire.
//!
//! [`Parameters`] are drawn from a seed, with the rates of [`Faults`]; `plan` draws what a backend
//! does for each request, and each actor has an [`Rng`] of its own. [`checker`] checks what
//! clients receive, and [`Coverage`] counts what has happened. A [`Suite`] runs many seeds;
//! [`shrink()`] minimizes a [`Failure`]. A [`DeliberateBug`] tests the checkers.
//!
//! The simulated clients are not here, because they share no logic beyond parameters and checkers:
//! those of the core are callbacks of an event queue, and read the events of the session itself;
//! those over the wire are async tasks that speak HTTP, and parse the bytes of each response.

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
