//! A server for MCP sessions that clients can rejoin without missing a message, as a library.
//! The program is in the package `rejoin-cli`.
//!
//! The session layer itself is [`rejoin_core`], a pure state machine: it decides on which
//! stream a message is sent, what is retained, and what is replayed. This crate is its driver for
//! tokio, with real connections and timers.
//!
//! - A [`Backend`] is the server behind the sessions: your own handler, any service of the crate
//!   `rmcp` through [`RmcpBackend`], or a child process through [`StdioBackend`].
//! - A [`SessionManager`] owns the sessions; a [`SessionHandle`] refers to one of them.
//! - A [`Connection`] is the source of an HTTP response body. Dropping it closes the connection;
//!   its stream lives on.
//! - [`StreamableHttp`] serves all of this over HTTP, as a tower service.
//!
//! A client that loses its connection and resumes, without HTTP:
//!
//! ```
//! use std::{future::poll_fn, pin::Pin};
//!
//! use futures_core::Stream;
//! use rejoin::{
//!     Backend, ClientMessages, ClientSender, Connection, ManagerConfig, OpenError, SessionManager,
//!     SseEvent, parse_message,
//!     rejoin_core::{AnswerFormat, EventId},
//! };
//!
//! /// Answers every request with an empty result.
//! struct EmptyResults;
//!
//! impl Backend for EmptyResults {
//!     async fn open(
//!         &self,
//!         client: ClientSender,
//!         mut messages: ClientMessages,
//!     ) -> Result<(), OpenError> {
//!         tokio::spawn(async move {
//!             while let Some(message) = messages.recv().await {
//!                 let message: serde_json::Value = serde_json::from_slice(&message)?;
//!                 let id = &message["id"];
//!                 let result = serde_json::json!({ "protocolVersion": "2025-11-25" });
//!                 let response = serde_json::json!({ "jsonrpc": "2.0", "id": id, "result": result });
//!                 client.send(response.to_string(), None).await?;
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
//! # fn post(json: &'static str) -> rejoin::rejoin_core::Post<rejoin::ClientMessage> {
//! #     parse_message(json.into(), 1).unwrap()
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let sessions = SessionManager::new(EmptyResults, ManagerConfig::default())?;
//! let initialize = post(r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#);
//! let (session, mut connection) = sessions.initialize_session(initialize, AnswerFormat::Sse).await?;
//! while next(&mut connection).await.is_some() {}
//!
//! let call = post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
//! let mut connection = session.request(call, AnswerFormat::Sse).await?;
//! assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
//! drop(connection);
//!
//! // The client only knows the id of the last event that it received.
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
//! - `http` (default): [`StreamableHttp`].
//! - `rmcp`: [`RmcpBackend`], and [`rmcp::LocalSessionManager`].
//! - `stdio`: [`StdioBackend`], on Unix.
//! - `journal`: records the inputs of each session in a file.
//! - `store`: [`store`], for sessions that outlive their process.
//! - `cluster`: [`LinkConfig`], for processes that pass requests on to each other.
//! - `redis`: a store on Valkey or Redis; `redis-tls`: also with TLS.

mod backend;
#[cfg(any(feature = "http", feature = "store"))]
mod byte_counter;
mod client_message;
#[cfg_attr(all(test, shuttle), path = "races/clock.rs")]
mod clock;
#[cfg(feature = "store")]
mod cluster;
mod config;
mod counts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "journal")]
pub mod journal;
mod log;
mod manager;
mod message;
mod nesting;
mod observer;
mod owner;
mod payload;
mod peers;
mod permits;
mod principal;
#[cfg(test)]
#[cfg(shuttle)]
mod races;
mod render;
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod session;
mod session_id;
#[cfg(feature = "store")]
pub mod store;
#[cfg_attr(all(test, shuttle), path = "races/sync.rs")]
mod sync;

pub use rejoin_core;

#[cfg(feature = "stdio")]
pub use crate::backend::{
    ChildSupervisor, SessionEnv, SessionSetup, StdioBackend, StdioConfig, watchdog,
};
#[cfg(feature = "cluster")]
pub use crate::cluster::link::{LinkConfig, LinkConfigError};
#[cfg(feature = "http")]
pub use crate::http::{
    Authenticate, CredentialExpiry, HttpConfig, HttpConfigError, PeerAddress, ResponseBody,
    StreamableHttp,
};
#[cfg(feature = "http")]
pub use crate::observer::Refused;
#[cfg(feature = "rmcp")]
pub use crate::rmcp::{RequestContextExt, RmcpBackend};

pub use crate::{
    backend::{Backend, OpenError, Overloaded},
    client_message::ClientMessage,
    config::{ManagerConfig, ManagerConfigError},
    manager::{ManagerError, SessionManager, SessionManagerBuilder},
    message::{TooDeep, parse_message},
    observer::{ObservedRequest, Observer, RequestEnd, SessionEvent, SessionOpened, SpanIds},
    payload::{Payload, ServerPayload},
    permits::SessionPermit,
    principal::Principal,
    session::{
        ClientMessages, ClientSender, Connection, SendError, Sent, ServerMessage, SessionError,
        SessionHandle, SessionStats, SessionWatch, SseEvent, WatchEnd, WatchError, WatchStart,
        WatchedRequest, WatchedStep,
    },
    session_id::{SessionId, SessionIdError},
};

/// The examples of the README.
#[cfg(all(doctest, feature = "http", feature = "rmcp"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The example of the page for users of rmcp.
#[cfg(all(doctest, feature = "rmcp"))]
#[doc = include_str!("../docs/from_local_session_manager.md")]
struct FromLocalSessionManager;
