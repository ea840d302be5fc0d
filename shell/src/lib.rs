//! MCP sessions that clients can rejoin without missing a message, as a server
//! you can run and mount.
//!
//! The session layer itself is [`rejoin_core`], a pure state machine: it decides which
//! message goes on which stream, what is kept, and what is replayed. This crate drives
//! it with real channels and timers, for tokio.
//!
//! - A [`Backend`] answers the messages of sessions: a handler of your own, any service
//!   of the crate `rmcp` by [`RmcpBackend`], or a child process by [`StdioBackend`].
//! - A [`SessionManager`] has the sessions, and a [`SessionHandle`] is one of them.
//! - A [`Connection`] is what an HTTP body is made of. To drop it is to disconnect; the
//!   stream lives on.
//! - [`StreamableHttp`] serves all of this over HTTP, as a tower service.
//!
//! Without HTTP, a client that loses its connection and comes back looks like this:
//!
//! ```
//! use std::{future::poll_fn, pin::Pin};
//!
//! use futures_core::Stream;
//! use rejoin::{
//!     Backend, Connection, ClientMessages, OpenError, Peer, SessionManager, Settings, SseEvent, parse,
//!     rejoin_core::{AnswerFormat, EventId},
//! };
//!
//! /// Answers every request with an empty result.
//! struct Agreeable;
//!
//! impl Backend for Agreeable {
//!     async fn open(&self, peer: Peer, mut inbox: ClientMessages) -> Result<(), OpenError> {
//!         tokio::spawn(async move {
//!             while let Some(message) = inbox.recv().await {
//!                 let message: serde_json::Value = serde_json::from_slice(&message)?;
//!                 let id = &message["id"];
//!                 let result = serde_json::json!({ "protocolVersion": "2025-11-25" });
//!                 let answer = serde_json::json!({ "jsonrpc": "2.0", "id": id, "result": result });
//!                 peer.send(answer.to_string(), None).await?;
//!             }
//!             Ok::<(), OpenError>(())
//!         });
//!         Ok(())
//!     }
//! }
//!
//! async fn next(connection: &mut Connection) -> Option<SseEvent> {
//!     poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
//! }
//!
//! # fn post(json: &'static str) -> rejoin::rejoin_core::Post<bytes::Bytes> {
//! #     parse(json.into(), 1).unwrap()
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let sessions = SessionManager::new(Agreeable, Settings::default())?;
//! let initialize = post(r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#);
//! let (session, mut answer) = sessions.initialize_session(initialize, AnswerFormat::Sse).await?;
//! while next(&mut answer).await.is_some() {}
//!
//! let call = post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
//! let mut connection = session.request(call, AnswerFormat::Sse).await?;
//! assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
//! drop(connection);
//!
//! // All that the client knows is the id of the last event.
//! let last_event_id: EventId = "0/0".parse()?;
//! let mut connection = session.resume(last_event_id)?;
//! let Some(SseEvent::Message { data, .. }) = next(&mut connection).await else { panic!() };
//! assert!(data.starts_with(br#"{"id":1,"jsonrpc":"2.0","result""#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `http`: [`StreamableHttp`].
//! - `rmcp`: [`RmcpBackend`].
//! - `stdio`: [`StdioBackend`], on Unix.
//! - `journal`: what happened in each session, as a file.
//! - `program`, on by default: the program `rejoin`, and all of the above.

mod backend;
#[cfg(feature = "http")]
mod byte_counter;
#[cfg_attr(all(test, shuttle), path = "races/clock.rs")]
mod clock;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "journal")]
pub mod journal;
mod log;
mod manager;
mod message;
mod nesting;
#[cfg(test)]
#[cfg(shuttle)]
mod races;
mod render;
mod session;
mod session_id;
#[cfg_attr(all(test, shuttle), path = "races/sync.rs")]
mod sync;

pub use rejoin_core;

#[cfg(feature = "rmcp")]
pub use crate::backend::{RequestContextExt, RmcpBackend};
#[cfg(feature = "stdio")]
pub use crate::backend::{StdioBackend, StdioConfig, WatchdogCommand, run_watchdog};
#[cfg(feature = "http")]
pub use crate::http::{HttpConfig, HttpConfigError, PeerAddress, ResponseBody, StreamableHttp};

pub use crate::{
    backend::{Backend, ClientMessages, ClientSender, OpenError, Overloaded, SendError},
    manager::{ManagerConfig, ManagerConfigError, ManagerError, SessionManager, SessionPermit},
    message::{TooDeep, parse_message},
    session::{Connection, SessionError, SessionHandle, SseEvent},
    session_id::{SessionId, SessionIdError},
};

/// The examples of the README.
#[cfg(all(doctest, feature = "http", feature = "rmcp"))]
#[doc = include_str!("../../README.md")]
struct Readme;
