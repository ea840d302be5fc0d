//! Deterministic simulation of a cluster: several nodes that share a store of sessions, from one
//! seed.
//!
//! As in [`crate::simulation`], there is no thread and no I/O, and time is virtual. The actors:
//!
//! - a `node` has sessions, and for each of them a [`Session`](rejoin_core::Session) and a
//!   [`Tenure`](rejoin_core::cluster::Tenure); a [`NodeLease`](rejoin_core::cluster::NodeLease) with a
//!   `clock` of its own; and a [`Resolve`](rejoin_core::cluster::Resolve) for each `lookup`. It is
//!   the reference for a driver of several processes;
//! - the `store` has logs and leases, and a replica that is behind; `store_client` is how nodes reach
//!   it;
//! - a `client` sends each HTTP request, an `exchange`, to the node that the `balancer` chooses; what
//!   another node owns is passed on by `forward`;
//! - a `backend` executes plans, and ends with its node;
//! - `disturbance` is what goes wrong: nodes die, pause and hand over; the store is slow, away, full,
//!   forgets everything or its last second; connections are cut.
//!
//! `run` has the phases: one with disturbances and one without, after which every request must have
//! settled; then all clients leave, and nothing may be left. `laws` are checked throughout.
//! [`Bug`] is a deliberate bug, to test the laws.

mod agenda;
mod backend;
mod balancer;
mod client;
mod clock;
mod disturbance;
mod drive;
mod exchange;
mod faults;
mod forward;
mod laws;
mod lookup;
mod names;
mod node;
mod owned;
mod parameters;
mod reader;
mod run;
mod state;
mod store;
mod store_client;
mod takeover;
mod tenure;

pub use faults::{Bug, ClusterFault, ClusterFaults};
pub use parameters::{Balancing, ClusterParameters, Takeover};
pub use run::{Failure, expected_counters, run, shrink};
use state::Cluster;

/// What a step returns: an error is a broken law, or a failure of the simulation itself.
type Checked = Result<(), String>;
