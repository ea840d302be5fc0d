//! A session, driven: the core's state machine behind a lock, and what is around it.

mod cell;
mod channel;
mod channels;
mod connection;
mod handle;
mod state;
mod time_limit;

#[cfg(feature = "http")]
pub(crate) use self::channel::Part;
pub(crate) use self::{
    cell::{Cell, Held},
    state::{Closed, Happened, Opened},
};
pub use self::{
    channel::SseEvent,
    connection::Connection,
    handle::{SessionError, SessionHandle},
};
