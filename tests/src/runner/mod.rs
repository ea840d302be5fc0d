//! The runner: one history on a session and on the model, side by side.
//!
//! After every step it compares their results, actions and getters, and a
//! [`Checker`](crate::laws::Checker) checks the laws. A twin session sees the same history
//! without the rejected inputs. Optionally, the twin is restored from a snapshot now and
//! then, as if it moved to another node. A session that commits is also restored from an
//! earlier snapshot and its records since, as if its process had ended without a word.

mod ended;
mod failure;
mod fold;
mod harness;
mod outcome;
mod run;

pub use failure::Failure;
pub use run::{Plan, run_bytes};
