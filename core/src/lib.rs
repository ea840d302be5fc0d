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
//!   request opens a *request stream*, except `initialize`, which only has an answer. A GET
//!   without an event id attaches to the *standalone stream*; with one, it resumes the stream
//!   that the id names. Streams outlive their connections.
//! - The **log** of a stream is the bounded record of its events. An
//!   [`EventId`] identifies one of them: `3/1` is the event at index 3 of stream 1.
//! - A **connection** is one HTTP response body. To a session it is a [`Cursor`]
//!   in a log, with a window: a limit on the events that were sent and that the body has
//!   not pulled yet. A cursor at the end of the log gets events live; one that is behind gets
//!   them from the log, whether its client has resumed or reads slowly: both are an
//!   [`Action::Send`]. Senders are held while a slow reader makes progress. A reader that has
//!   *stalled*, acknowledging nothing for its stall timeout, no longer holds them.
//! - A session *keeps* a limited number of bytes: everything that is in a log or was sent and not
//!   acknowledged. A message for which there is no room waits with its sender ([`Overflow`]).
//! - One connection is *attached* to a stream. A further GET is a *shadow*, without events
//!   until it is *promoted*. A connection that the session has closed is *draining* until its
//!   body has ended.
//! - A stream is **complete** when every request of its POST has a response
//!   or was cancelled. It is retained for a while, and then leaves a *tombstone*, which
//!   expires later.
//! - A **failure** replaces a response that will never arrive, so that no client waits for it
//!   forever.
//!
//! [`behaviour`] specifies the actions that each input causes.
//!
//! # A driver
//!
//! A driver holds one lock for a session and for what its actions change. This one fits on a
//! page; [`drivers`] lists what else it must do.
//!
//! ```
//! use std::collections::{BTreeMap, VecDeque};
//!
//! use rejoin_core::{
//!     ANSWER_INDEX, Action, Actions, Answer, AnswerFormat, Config, ConnectionId, Event, EventId,
//!     Input, Instant, Message, Overflow, Parsed, Post, Rejected, RequestId, Session, parse_head,
//! };
//!
//! /// What the HTTP body of a connection has yet to write.
//! #[derive(Default)]
//! struct Buffer {
//!     items: VecDeque<Item>,
//!     /// Whether the body ends after the last item.
//!     is_closing: bool,
//! }
//!
//! enum Item {
//!     /// An SSE event.
//!     Event(EventId, Event<String>),
//!     /// A whole answer: one JSON object, or for `initialize` one event if the client wants SSE.
//!     Answer(Answer<String>),
//! }
//!
//! /// What the backend must do.
//! enum Command {
//!     Handle(String),
//!     Cancel(RequestId),
//!     Fail(RequestId),
//! }
//!
//! struct Driver {
//!     session: Session<String>,
//!     actions: Actions<String>,
//!     buffers: BTreeMap<ConnectionId, Buffer>,
//!     commands: Vec<Command>,
//! }
//!
//! impl Driver {
//!     /// Reports an input, and carries out the actions. A rejected input comes back: its
//!     /// requests need an error response.
//!     fn handle(
//!         &mut self,
//!         now: Instant,
//!         input: Input<String>,
//!     ) -> Result<(), Box<Rejected<String>>> {
//!         let Self { session, actions, buffers, commands } = self;
//!         let result = session.handle(now, input, actions);
//!         for action in actions.drain() {
//!             match action {
//!                 Action::Forward { message } => commands.push(Command::Handle(message)),
//!                 Action::CancelRequest { id } => commands.push(Command::Cancel(id)),
//!                 Action::FailServerRequest { id, .. } => commands.push(Command::Fail(id)),
//!                 Action::Send { connection, id, event } => {
//!                     buffers.entry(connection).or_default().items.push_back(Item::Event(id, event));
//!                 }
//!                 Action::Respond { connection, answer } => {
//!                     buffers.entry(connection).or_default().items.push_back(Item::Answer(answer));
//!                 }
//!                 Action::Discard { connection } => {
//!                     buffers.entry(connection).or_default().items.clear();
//!                 }
//!                 Action::Close { connection, .. } => {
//!                     buffers.entry(connection).or_default().is_closing = true;
//!                 }
//!                 Action::Cut { connection, .. } => {
//!                     buffers.insert(connection, Buffer { is_closing: true, ..Buffer::default() });
//!                 }
//!                 // Backpressure, for senders that can wait: see `Overflow`.
//!                 Action::Hold { .. } | Action::Release { .. } => {}
//!                 // The last action: the backend is told of the requests that end here.
//!                 Action::SessionClosed { pending_requests, server_requests, .. } => {
//!                     commands.extend(pending_requests.into_iter().map(Command::Cancel));
//!                     commands.extend(server_requests.into_iter().map(Command::Fail));
//!                 }
//!                 // Only if `Config::commits` is set.
//!                 Action::Commit(record) => println!("{record:?}"),
//!                 Action::Report(report) => println!("{report:?}"),
//!             }
//!         }
//!         // Arm a timer here that reports `Input::Tick` at `session.deadline()`.
//!         result
//!     }
//!
//!     /// Pulls the next item for the body of a connection, and acknowledges it.
//!     fn pull(&mut self, now: Instant, connection: ConnectionId) -> Option<Item> {
//!         let item = self.buffers.get_mut(&connection)?.items.pop_front()?;
//!         let through = match &item {
//!             Item::Event(id, _) => id.index,
//!             Item::Answer(_) => ANSWER_INDEX,
//!         };
//!         // Never rejected.
//!         let _ = self.handle(now, Input::Acknowledged { connection, through });
//!         Some(item)
//!     }
//!
//!     /// Handles the end of a body: the client left, or it was closed and has written all items.
//!     /// All that it pulled was acknowledged.
//!     fn on_closed(&mut self, now: Instant, connection: ConnectionId) {
//!         self.buffers.remove(&connection);
//!         let _ = self.handle(now, Input::ConnectionClosed { connection, through: None });
//!     }
//! }
//!
//! /// Returns a message with its head, which is all that a session looks at.
//! fn message(json: &str) -> Result<Message<String>, Box<dyn std::error::Error>> {
//!     match parse_head(json.as_bytes(), 1)? {
//!         Parsed::Single(head) => Ok(Message { head, body: json.to_owned(), bytes: json.len() }),
//!         Parsed::Batch(_) => Err("a batch".into()),
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::EPOCH;
//! let mut driver = Driver {
//!     session: Session::new(Config::default().validate()?, now),
//!     actions: Actions::new(),
//!     buffers: BTreeMap::new(),
//!     commands: Vec::new(),
//! };
//! let post = |connection, json| {
//!     let post = Post::Single(message(json)?);
//!     Ok::<_, Box<dyn std::error::Error>>(Input::Post { connection, format: AnswerFormat::Sse, post })
//! };
//! let from_backend = |message| {
//!     Input::BackendMessage { message, related: None, overflow: Overflow::Evict }
//! };
//! let [first, second, third] = [1, 2, 3].map(ConnectionId);
//!
//! // The handshake.
//! driver.handle(now, post(first, r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#)?)?;
//! let response = message(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#)?;
//! driver.handle(now, from_backend(response))?;
//! assert!(matches!(driver.pull(now, first), Some(Item::Answer(Answer::Message(_)))));
//! driver.on_closed(now, first);
//!
//! // A request whose connection is lost after the priming event, before the response.
//! driver.handle(now, post(second, r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#)?)?;
//! let Some(Item::Event(id, Event::Priming { .. })) = driver.pull(now, second) else { panic!() };
//! driver.on_closed(now, second);
//! let response = message(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#)?;
//! driver.handle(now, from_backend(response))?;
//!
//! // The client resumes after the last event id that it saw, and gets the response.
//! driver.handle(now, Input::Get { connection: third, last_event_id: Some(id) })?;
//! assert!(matches!(driver.pull(now, third), Some(Item::Event(_, Event::Message(_)))));
//! # Ok(())
//! # }
//! ```
//!
//! # The laws
//!
//! 1. When `handle` returns, nothing is left queued inside: every attached connection
//!    was sent everything that its window admits.
//! 2. `deadline()` is later than the last `now`, or `None`; a tick at the deadline
//!    makes progress.
//! 3. After a [`Rejection`], state and actions are the same as after the tick alone, with two
//!    exceptions: the input closed the session (a first POST or GET that is not `initialize`), or
//!    there is no room for the message and its sender is held ([`Rejection::Full`]).
//! 4. Exactly once, in order: on one stream, a client that always resumes after
//!    the last id it saw, within retention, sees every event once, in order. If events
//!    are missing, it gets a gap. A client that keeps reading misses nothing, if
//!    the senders of messages can wait ([`Overflow::Hold`]).
//! 5. Every message is sent on one stream only, on one connection at a time, and never in
//!    another session.
//! 6. A forwarded request ends in exactly one way: its response is acknowledged or
//!    retained; it is cancelled; the session closes; or the client can see a [`Failure`].
//! 7. Memory is bounded by the limits in [`Config`], regardless of what the peers do: all events
//!    that a session keeps, in logs and in flight, by one number, `session_bytes_max`, or by the
//!    lower one of [`Input::LimitBytes`] once the session has shrunk to it.
//! 8. After the session closes, it produces no more actions.
//! 9. The same configuration and inputs produce the same actions.
//! 10. With [`Config::commits`], nothing that a client can come back by is sent before it is
//!     committed: no event, whole answer or priming event of a request stream before the record of
//!     it, or of the opening of its stream. Excepted are the failures at the end of the session.
//!
//! What a client sees of all this over HTTP, with statuses, error codes and texts, is described
//! by `shell/lib/docs/wire.md` of the repository.
//!
//! # The client
//!
//! [`client::Client`] is the other half of the transport, as a state machine: the client of any server.
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
mod change;
pub mod client;
pub mod cluster;
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
mod skipped;
#[cfg(feature = "serde")]
mod snapshot;
mod time;
mod timers;

pub use action::{
    ANSWER_INDEX, Action, Actions, Answer, CloseReason, CutReason, Event, Report, RequestOutcome,
    SessionCloseReason, UnansweredReason, UndeliverableReason,
};
pub use change::{Change, Record};
pub use config::{ConcurrentGet, Config, ConfigError, Priming, UnrelatedRouting, ValidConfig};
pub use cursor::Cursor;
pub use event_id::{EventId, EventIdError, NumberError, StreamId};
pub use failure::{Failure, FailureReason};
pub use head::{
    BatchEntry, Head, Initialized, MessageFault, Method, Notification, ParseError, Parsed,
    RequestDetails, parse_head, parse_head_with_details,
};
pub use id::{ConnectionId, ID_BYTES_MAX, IdTooLong, IdValue, ProgressToken, RequestId};
pub use input::{AnswerFormat, Input, Message, Overflow, Post};
pub use log::{EVENT_OVERHEAD_BYTES, Entry, Log, Logged, MessageKind};
pub use rejection::{ApiMisuse, BackendFault, ClientFault, Rejected, Rejection};
pub use revision::{PROFILES, Profile, ProtocolVersion};
pub use session::{Session, StreamSummary};
#[cfg(feature = "serde")]
pub use snapshot::{RestoreError, SNAPSHOT_FORMAT, Snapshot, State};
pub use time::Instant;

#[doc = include_str!("../docs/behaviour.md")]
pub mod behaviour {}

#[doc = include_str!("../docs/drivers.md")]
pub mod drivers {}
