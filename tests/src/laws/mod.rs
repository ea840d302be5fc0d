//! The nine laws of a session, checked from outside after every step.
//!
//! An [`Observer`] sees what a driver could see: the configuration, each input
//! with its time, the result, the actions, what the replays refer to, and what
//! the session says of itself. One file holds one law, or one part of it, as a function from these
//! to what breaks it. `Readers` only follows what each
//! connection was sent; the laws judge it.

mod checker;
#[cfg(test)]
mod fixtures;
mod heads;
mod law1_nothing_queued;
mod law2_deadline;
mod law3_rejection;
mod law4_in_order;
mod law4_without_gap;
mod law5_one_stream;
mod law6_no_request_lost;
mod law7_bounded;
mod law7_cancelled;
mod law8_end;
mod law9_deterministic;
mod observed;
mod readers;
mod silence;
mod step;

pub use checker::{Checker, Violation};
pub use heads::{answered_id, cancelled_id, posted, request_id};
pub use observed::ObservedSession;
pub use step::{ConnectionView, LogView, Step, View};
