//! The driver of a session: the core's state machine behind a lock.
//!
//! `inner` owns the lock, and is called by `handle` for the client, by `connection` for an HTTP
//! body, by `client_sender` for the backend, and by the manager. Under the lock, `state` passes
//! inputs to the core, and `actions` carries out what it requires; `after_unlock` is the rest.
//! `shared` has the tables that sessions are listed in.

mod actions;
mod after_unlock;
mod backend_message;
mod begun;
mod buffer;
mod buffers;
#[cfg(feature = "rmcp")]
mod cancelled;
mod capacity;
mod client_messages;
mod client_sender;
mod close;
#[cfg(feature = "store")]
mod commits;
mod connection;
mod handle;
mod inner;
mod kept;
mod observed;
mod post;
#[cfg(feature = "store")]
mod reopen;
mod request_timeouts;
mod sent;
mod shared;
mod state;
mod stats;
#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;
mod unused;
mod watch;
mod watch_queue;

#[cfg(feature = "http")]
pub(crate) use self::buffer::MessagePart;
pub use self::{
    buffer::SseEvent,
    client_messages::ClientMessages,
    client_sender::{ClientSender, ServerMessage},
    connection::Connection,
    handle::{SessionError, SessionHandle},
    sent::{SendError, Sent},
    stats::SessionStats,
    watch::{WatchError, WatchStart, WatchedRequest, WatchedStep},
    watch_queue::{SessionWatch, WatchEnd},
};
#[cfg(feature = "store")]
pub(crate) use self::{
    commits::{SessionStore, Standing, StoreJob},
    reopen::HANDSHAKE_ID,
};
pub(crate) use self::{
    inner::SessionInner,
    shared::{PermitError, Shared},
};
