//! MCP sessions that clients can rejoin.
#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod action;
mod ascending;
mod config;
mod cursor;
mod event_id;
mod failure;
mod head;
mod id;
mod input;
mod log;
mod queue;
mod rejection;
mod revision;
mod session;
#[cfg(feature = "serde")]
mod snapshot;
mod time;

pub use action::{
    Action, Actions, CloseReason, EndReason, Event, FailReason, Report, UndeliverableReason,
};
pub use config::{Config, ConfigError, Priming, Surplus, Unrelated, ValidConfig};
pub use cursor::Cursor;
pub use event_id::{EventId, EventIdError, NumberError, StreamId};
pub use failure::{Failure, FailureReason};
pub use head::{
    BatchEntry, Head, Initialized, MessageFault, Method, Notification, PeekError, Peeked, peek,
};
pub use id::{ConnectionId, ID_BYTES_MAX, IdTooLong, IdValue, ProgressToken, RequestId};
pub use input::{AnswerFormat, Input, Message, Post};
pub use log::{Bearing, EVENT_OVERHEAD_BYTES, Entry, Log, Logged};
pub use rejection::{BackendFault, CallerFault, ClientFault, Rejection};
pub use revision::{PROFILES, Profile, ProtocolVersion};
pub use session::{Pressure, Session};
#[cfg(feature = "serde")]
pub use snapshot::{RestoreError, Snapshot, State};
pub use time::Instant;
