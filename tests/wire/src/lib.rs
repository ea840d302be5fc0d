//! Deterministic simulation over the wire: many HTTP clients, on links that fail, against the
//! real shell.
//!
//! Parameters, fault rates, plans of backends and checks of what clients receive are those of
//! [`rejoin_tests::kit`]; between both ends is the whole shell. Clients speak HTTP/1.1 and read SSE;
//! `link`s between them and their server cut, delay, throttle, stall and lose what they
//! forward, and in some simulations buffer it as a `kernel` does; `backend`s respond and send
//! requests. Both ends use no more of the core than its types and its parser of message heads.
//! The server is in this process, where time is virtual, or is a process of its own behind
//! sockets.
//!
//! Some faults do not exist here, because they cannot be caused over the wire. No client can
//! make the shell abandon a stream, or send a message before there is a session; the shell is
//! not restored from a snapshot; its clock is not set back; and simultaneous events happen in
//! the order in which tasks are polled. A backend that is called with each message cannot exit,
//! and nobody shuts sessions of the program down over sockets.
//!
//! Every session writes a journal. When it has ended, the `checker` checks the ten laws step
//! by step, and then compares what its client and its backend received with what the session
//! did according to the journal.

mod backend;
mod checker;
mod client;
mod client_session;
#[cfg(target_os = "linux")]
mod cluster;
mod deliberate_bugs;
mod exchange;
mod failure;
mod in_process;
mod kernel;
mod link;
mod log_monitor;
mod memory;
mod message;
mod options;
mod over_sockets;
mod parameters;
mod program;
mod run;
mod server;
mod simulation;
mod soak;

pub use backend::run_child;
#[cfg(target_os = "linux")]
pub use cluster::{
    ClusterBug, ClusterReport, ClusterSoak, Takeover, Violation, run_cluster_server, soak_cluster,
};
pub use failure::Failure;
pub use in_process::run_in_process;
pub use kernel::TcpModel;
pub use over_sockets::{Programs, run_over_sockets};
pub use parameters::{BackendKind, Flood, Parameters};
pub use soak::{Soak, soak, soak_round};
