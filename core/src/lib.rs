//! MCP sessions that clients can rejoin without missing a message, as a pure
//! state machine.
//!
//! An MCP server responds to each POST of a client with a stream of SSE events, and to a GET
//! with another one. Connections break. A [`Session`] decides on which stream a message is
//! sent, which events are kept, what is replayed when a client comes back, and when all of
//! this is dropped. It does nothing else: it is `no_std`, without sockets, clock, tasks, locks
//! or randomness.
//!
//! # The model
//!
//! A driver reports to a session what happened, as an [`Input`] with the time. The
//! session appends what the driver must do, as [`Action`]s in order. Nothing
//! stays queued inside, so there is nothing to poll. If nothing else happens, the
//! driver reports a tick at the [`deadline`](Session::deadline).
//!
//! ```text
//!             Input, now                      Action
//!  client ──▶ driver ──────▶  Session::handle ──────▶ driver ──▶ client
//! backend ──▶ (buffers,       streams, logs, cursors   (sends,  ──▶ backend
//!   clock ──▶  timers)        and timers               closes)
//! ```
//!
//! - A **stream** is an ordered, numbered sequence of events. A POST with a
//!   request opens a *request stream*; GET requests attach to the *standalone stream*.
//!   Streams outlive their connections.
//! - The **log** of a stream is the bounded record of its events. An
//!   [`EventId`] identifies one of them: `3/1` is the event at index 3 of stream 1.
//! - A **connection** is one HTTP response body. To a session it is a [`Cursor`]
//!   in a log, with a window: a limit on the events that were sent and that the body has
//!   not pulled yet. A cursor at the end of the log gets events live; one that is behind gets
//!   them from the log, whether its client has resumed or reads slowly: both are an
//!   [`Action::Send`]. Senders are held while a slow reader makes progress; a reader that has
//!   stopped delays others for at most [`Config::hold_timeout`].
//! - A stream is **complete** when every request of its POST has a response
//!   or was cancelled. It is retained for a while, and then leaves a *tombstone*, which
//!   expires later.
//! - A **failure** replaces a response that will never arrive, so that no client waits for it
//!   forever.
//!
//! [`behaviour`] specifies the actions that each input causes. [`drivers`] lists the
//! requirements for drivers.
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
//!     // Here a driver carries out the actions, and sleeps until the deadline.
//!     Ok::<_, rejoin_core::Rejection>((actions.clone(), pressure, session.deadline()))
//! };
//! let post = |connection, json| {
//!     let post = Post::Single(message(json)?);
//!     let connection = ConnectionId(connection);
//!     Ok::<_, rejoin_core::ParseError>(Input::Post { connection, format: AnswerFormat::Sse, post })
//! };
//!
//! // The handshake.
//! handle(0, post(1, r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#)?)?;
//! let response = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;
//! handle(1, Input::BackendMessage { message: message(response)?, related: None })?;
//! handle(2, Input::ConnectionClosed { connection: ConnectionId(1), through: Some(1) })?;
//!
//! // A request whose connection closes before the response arrives.
//! handle(3, post(2, r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#)?)?;
//! handle(4, Input::ConnectionClosed { connection: ConnectionId(2), through: None })?;
//! let response = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
//! handle(5, Input::BackendMessage { message: message(response)?, related: None })?;
//!
//! // The client comes back, and gets the response.
//! let last_event_id = Some("0/0".parse()?);
//! let (actions, ..) = handle(6, Input::Get { connection: ConnectionId(3), last_event_id })?;
//! assert_eq!(
//!     actions.iter().next(),
//!     Some(&Action::Send {
//!         connection: ConnectionId(3),
//!         index: 1,
//!         id: Some(EventId::new(StreamId::Request(0), 1)),
//!         event: Event::Message(response),
//!     })
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The laws
//!
//! 1. When `handle` returns, nothing is left queued inside: every attached connection
//!    was sent everything that its window admits.
//! 2. `deadline()` is later than the last `now`, or `None`; a tick at the deadline
//!    makes progress.
//! 3. After a [`Rejection`], state and actions are the same as after the tick alone.
//! 4. Exactly once, in order: on one stream, a client that always resumes after
//!    the last id it saw, within retention, sees every event once, in order. If events
//!    are missing, it gets a gap. A client that keeps reading misses nothing.
//! 5. Every message is sent on one stream only, on one connection at a time, and never in
//!    another session.
//! 6. A forwarded request ends in exactly one way: its response is acknowledged or
//!    retained; it is cancelled; the session closes; or the client can see a [`Failure`].
//! 7. Memory is bounded by the limits in [`Config`], regardless of what the peers do.
//! 8. After the session closes, it produces no more actions.
//! 9. The same configuration and inputs produce the same actions.
//!
//! # Features
//!
//! `serde`: snapshots of sessions, and `Serialize` and `Deserialize` for inputs and actions.
#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod action;
mod ascending_map;
mod capacity;
mod config;
mod cursor;
mod event_id;
mod failure;
mod head;
mod id;
mod id_map;
mod input;
mod log;
mod rejection;
mod revision;
mod session;
#[cfg(feature = "serde")]
mod snapshot;
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
pub use session::Session;
#[cfg(feature = "serde")]
pub use snapshot::{RestoreError, Snapshot, State};
pub use time::Instant;

#[doc = include_str!("../docs/behaviour.md")]
pub mod behaviour {}

#[doc = include_str!("../docs/drivers.md")]
pub mod drivers {}
