//! Links between the processes of a cluster: connections on which one passes calls of clients on to
//! the owners of their sessions.
//!
//! A process connects once to each of the others that it needs. After a mutual proof that both know the
//! secret, the connection carries frames: calls in one direction, and replies in the other.

mod client;
mod config;
mod frame;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod hello;
mod listener;
mod message;
mod outbox;
mod reader;
mod server;
#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;

use std::time::Duration;

pub use self::config::{LinkConfig, LinkConfigError};
#[cfg(feature = "fuzzing")]
pub(crate) use self::fuzz::fuzz;
pub(super) use self::{client::connect, listener::Listener};
pub(crate) use self::{
    client::{CallError, Link, OpenCall},
    message::{Call, Control, FULL, Operation, PostCall, Reply},
    server::{Replies, Room, Serve, ServeFuture},
};

/// Maximum number of calls on a link at a time. Others are refused. Unit tests need not open so many.
const CALLS_MAX: usize = if cfg!(test) { 64 } else { 65_536 };

/// Number of bytes that wait to be written to one link, and to all links of a process together, at which
/// an ingress refuses calls.
const QUEUED_CALL_BYTES_MAX: usize = 16 << 20;
const ALL_QUEUED_CALL_BYTES_MAX: usize = 64 << 20;

/// Number of queued bytes at which the owner takes no more events from its sessions.
const QUEUED_REPLY_BYTES_MAX: usize = 1 << 20;

/// Number of queued bytes at which the owner reads nothing more from the link: each thing that an ingress
/// says has at most one reply.
const UNREAD_BYTES_MAX: usize = 4 << 20;

/// Maximum size of the payload of a frame with a reply: some hundred KiB of events, with their ids.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// Maximum size of a call beyond the body of its request: the head of the request.
const CALL_HEAD_BYTES_MAX: usize = 64 << 10;

/// Interval of pings, which keep a link that nobody uses.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Time after which a link is cut on which nothing was received.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
