//! MCP sessions that clients can rejoin without missing a message, as a pure
//! state machine.
//!
//! An MCP server answers each POST of a client with a stream of SSE events, and
//! its GET with another one. Connections break all the time. A [`Session`]
//! decides what goes on which stream, what is kept, what is replayed when a
//! client comes back, and when everything is let go of. It does nothing else:
//! it has no socket, no clock, no task, no lock and no randomness, and cannot
//! name one, since it lacks `std`.
//!
//! # The model
//!
//! A driver tells a session what happened, by an [`Input`] and the time. The
//! session appends what must be done about it, as [`Action`]s in order. Nothing
//! stays queued inside, so there is nothing to poll. When nothing happens, the
//! driver calls again at the [`deadline`](Session::deadline).
//!
//! ```text
//!             Input, now                      Action
//!  client ──▶ driver ──────▶  Session::handle ──────▶ driver ──▶ client
//! backend ──▶ (channels,      streams, logs, cursors   (sends,  ──▶ backend
//!   clock ──▶  timers)        and deadlines             closes)
//! ```
//!
//! - A **stream** is an ordered, numbered sequence of events. A POST with a
//!   request opens one, and the GET has the *standalone stream*. Streams outlive
//!   their connections.
//! - The **log** of a stream is the bounded record of its events. An
//!   [`EventId`] names one of them: `3/1` is the event at index 3 of stream 1.
//! - A **connection** is one HTTP response body. To a session it is a [`Cursor`]
//!   in a log, with a window: the events that were sent, and not yet taken by the
//!   body. A cursor at the head gets events as they come ([`Action::Send`]); one
//!   whose window was full gets them from the log ([`Action::Replay`]). So coming
//!   back and being slow are one mechanism. A sender is held while a slow reader
//!   makes progress; one that has stopped costs others at most [`Config::hold_timeout`].
//! - A stream is **complete** when every request that it opened with is answered
//!   or cancelled. It is retained, then a *tombstone* is left, and at last nothing.
//! - A **failure** stands in the place of a response that there will not be, so
//!   that a client never waits in vain.
//!
//! [`behaviour`] says exactly what a session does, to the last action. [`drivers`] lists
//! what a driver must get right.
//!
//! # The loop
//!
//! ```
//! use core::time::Duration;
//! use rejoin_core::{
//!     Action, Actions, AnswerFormat, Config, ConnectionId, EventId, Event, Input, Instant,
//!     Message, Parsed, Post, Session, StreamId, parse_head,
//! };
//!
//! # fn message(json: &'static str) -> Result<Message<&'static str>, rejoin_core::ParseError> {
//! #     let Parsed::Single(head) = parse_head(json.as_bytes(), 64)? else { unreachable!() };
//! #     Ok(Message { head, body: json, bytes: json.len() })
//! # }
//! let mut session = Session::new(Config::default().validate()?, Instant::EPOCH);
//! let mut actions = Actions::new();
//! let mut handle = |milliseconds, input| {
//!     let now = Instant::new(Duration::from_millis(milliseconds));
//!     actions.clear();
//!     let pressure = session.handle(now, input, &mut actions)?;
//!     // A driver carries the actions out here, and sleeps until the deadline.
//!     Ok::<_, rejoin_core::Rejection>((actions.clone(), pressure, session.deadline()))
//! };
//! let post = |connection, json| {
//!     let post = Post::Single(message(json)?);
//!     let connection = ConnectionId(connection);
//!     Ok::<_, rejoin_core::ParseError>(Input::Request { connection, format: AnswerFormat::Sse, post })
//! };
//!
//! // The handshake.
//! handle(0, post(1, r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#)?)?;
//! let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;
//! handle(1, Input::BackendMessage { message: message(answer)?, related: None })?;
//! handle(2, Input::ConnectionClosed { connection: ConnectionId(1), through: Some(1) })?;
//!
//! // A call, whose client goes away before the answer comes.
//! handle(3, post(2, r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#)?)?;
//! handle(4, Input::ConnectionClosed { connection: ConnectionId(2), through: None })?;
//! let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
//! handle(5, Input::BackendMessage { message: message(answer)?, related: None })?;
//!
//! // It comes back, and gets what it missed.
//! let last_event_id = Some("0/0".parse()?);
//! let (actions, ..) = handle(6, Input::Get { connection: ConnectionId(3), last_event_id })?;
//! assert_eq!(
//!     actions.iter().next(),
//!     Some(&Action::Send {
//!         connection: ConnectionId(3),
//!         index: 1,
//!         id: Some(EventId::new(StreamId::Request(0), 1)),
//!         event: Event::Message(answer),
//!     })
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The laws
//!
//! 1. When `handle` returns, nothing is left queued inside: every connection that
//!    carries a stream is at the head of its log, or out of window.
//! 2. `deadline()` is later than the last `now`, or `None`; a tick at the deadline
//!    makes progress.
//! 3. After a [`Rejection`], state and actions are as after the tick alone.
//! 4. Exactly once, in order: on one stream, a client that always resumes after
//!    the last id it saw, within retention, sees every event once, in order. After
//!    a gap it is told. One that keeps reading misses nothing.
//! 5. Every message handed to a session goes on one stream only, on one connection at
//!    a time, and never on another session's.
//! 6. A request that was forwarded ends in exactly one of: its response taken or
//!    retained; cancelled; the session closed; a [`Failure`] that the client can
//!    see.
//! 7. Memory is bounded by the limits in [`Config`], whatever the peers do.
//! 8. After the session closes, no action is ever produced again.
//! 9. Same configuration and inputs, same actions.
//!
//! # Features
//!
//! `serde`: snapshots, and inputs and actions as serde values.
#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod action;
mod config;
mod cursor;
mod event_id;
mod failure;
mod head;
mod id;
mod input;
mod log;
mod rejection;
mod revision;
mod session;
mod shrink;
#[cfg(feature = "serde")]
mod snapshot;
mod sorted_vec_map;
mod time;
mod timers;

pub use action::{
    Action, Actions, CloseReason, EndReason, Event, Report, UnansweredReason, UndeliverableReason,
};
pub use config::{ConcurrentGet, Config, ConfigError, Priming, UnrelatedRouting, ValidConfig};
pub use cursor::Cursor;
pub use event_id::{EventId, EventIdError, NumberError, StreamId};
pub use failure::{Failure, FailureReason};
pub use head::{
    BatchEntry, Head, Initialized, MessageFault, Method, Notification, ParseError, Parsed,
    parse_head,
};
pub use id::{ConnectionId, ID_BYTES_MAX, IdTooLong, IdValue, ProgressToken, RequestId};
pub use input::{AnswerFormat, Input, Message, Post};
pub use log::{EVENT_OVERHEAD_BYTES, Entry, Log, Logged, MessageKind};
pub use rejection::{ApiMisuse, BackendFault, ClientFault, Rejection};
pub use revision::{PROFILES, Profile, ProtocolVersion};
pub use session::{Backpressure, Session};
#[cfg(feature = "serde")]
pub use snapshot::{RestoreError, Snapshot, State};
pub use time::Instant;

#[doc = include_str!("../docs/behaviour.md")]
pub mod behaviour {}

#[doc = include_str!("../docs/drivers.md")]
pub mod drivers {}
