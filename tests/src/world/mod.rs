//! Worlds: many clients, sessions and backends, each with goals of its own, and all
//! that goes wrong between them, from one seed.
//!
//! Where a history of [`crate::history`] is a list of inputs, a world is made of
//! *actors*. A client makes requests, reads what comes, comes back after what it saw
//! last, answers, cancels and leaves. A backend works, asks and answers. The driver
//! between them does what any driver does. What goes wrong is drawn from the
//! [`Knobs`] of the seed; time jumps from one happening to the next.
//!
//! A world has two phases. While faults happen, the nine laws are checked after every
//! step, and a witness at the client's end of the wire checks what comes out. Then
//! nothing goes wrong any more: in bounded time every request must have settled, and
//! every session must hold nothing but its standalone stream.

mod agenda;
mod backend;
mod chance;
mod client;
mod crash;
mod driver;
mod failure;
mod faults;
mod knobs;
mod line;
mod messages;
mod network;
mod parcel;
mod run;
mod seeds;
mod server;
mod shrink;
mod state;
mod tally;
pub mod witness;
mod wrong;

pub use backend::{Utterance, plan_answer, plan_talk};
pub use chance::Chance;
pub use failure::Failure;
pub use faults::{Fault, Faults};
pub use knobs::{Knobs, REQUESTS_MIN, Sabotage};
pub use run::run;
pub use seeds::run_seeds;
pub use shrink::{shrink, smaller, unlimited, way};
use state::World;
pub use tally::Tally;
