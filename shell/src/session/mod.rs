//! A session, driven: the core's state machine behind a lock, and what is around it.

mod buffer;
mod buffers;
mod connection;
mod handle;
mod inner;
mod state;
mod time_limit;

#[cfg(feature = "http")]
pub(crate) use self::buffer::Part;
pub use self::{
    buffer::SseEvent,
    connection::Connection,
    handle::{SessionError, SessionHandle},
};
pub(crate) use self::{
    inner::{Held, SessionInner},
    state::{Closed, Happened, Opened},
};
