//! Deterministic simulation: clients, sessions, backends and a faulty network, from one seed.
//!
//! While a history of [`crate::history`] is a list of inputs, a simulation consists of
//! *actors*:
//!
//! - a `client` sends requests, reads and resumes streams, responds, cancels and leaves;
//! - its `packet`s travel to the driver, and events travel back on `link`s, which the `network`
//!   may break;
//! - the `driver` does what any driver does, and keeps its session in a `server`;
//! - a `backend` responds, and sends requests of its own;
//! - `crash` replaces a session by one that is restored from its snapshot;
//! - `lost_process` restores a session from the records that are committed, and lets clients come back;
//! - `limit` changes the limit of what a session keeps.
//!
//! `run` has the phases, `state` what all actors share, and `event_queue` the virtual time, which
//! jumps from one event to the next. What these simulations have
//! in common with those over the wire is in [`crate::kit`].
//!
//! A simulation has two phases. In the first, faults are injected, the ten laws are checked
//! after every step, and `checker` and [`crate::kit::checker`] check what clients receive. In the second, fault-free
//! phase, every request must settle in bounded time, and every session must end up with nothing
//! but its standalone stream.

pub mod application;
mod backend;
mod checker;
mod client;
mod crash;
mod drain;
mod driver;
mod event_queue;
mod failure;
mod invalid_input;
mod limit;
mod link;
mod lost_process;
mod message_log;
mod network;
mod packet;
mod run;
mod server;
mod state;
mod store;

pub use failure::Failure;
pub use run::run;
use state::Simulation;
