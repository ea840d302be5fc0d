//! The runner: one history, on a session and on the model of one, side by side.
//!
//! After every step it compares what the two did and say of themselves, and lets
//! an [`Observer`](crate::laws::Observer) check the laws. A twin session sees the
//! same history without the inputs that are rejected; where a run asks for it, the
//! twin moves to another node now and then, by a snapshot.

mod failure;
mod harness;
mod outcome;
mod run;

pub use failure::Failure;
pub use run::{Plan, run_bytes};
