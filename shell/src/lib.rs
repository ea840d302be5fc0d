//! MCP sessions that clients can rejoin without missing a message, as a server
//! you can run and mount.
//!
//! The session layer itself is [`rejoin_core`], a pure state machine. This crate
//! drives it with real channels and timers.

mod backend;
mod clock;
#[cfg(feature = "http")]
mod http;
mod log;
mod manager;
mod message;
mod render;
mod session;
mod session_id;

pub use rejoin_core;

#[cfg(feature = "rmcp")]
pub use crate::backend::{AnswerStream, RmcpBackend};
#[cfg(feature = "stdio")]
pub use crate::backend::{GuardCommand, StdioBackend, StdioSettings, run_guard};
#[cfg(feature = "http")]
pub use crate::http::{HttpSettings, HttpSettingsError, ResponseBody, StreamableHttp};

pub use crate::{
    backend::{Backend, Inbox, OpenError, Peer, SendError},
    manager::{ManagerError, SessionManager, Settings, SettingsError},
    message::parse,
    session::{Connection, SessionError, SessionHandle, SseEvent},
    session_id::{SessionId, SessionIdError},
};
