//! The driver of a session: the core's state machine behind a lock.

mod buffer;
mod buffers;
mod connection;
mod handle;
mod inner;
mod request_timeouts;
mod state;

#[cfg(feature = "http")]
pub(crate) use self::buffer::MessagePart;
pub use self::{
    buffer::SseEvent,
    connection::Connection,
    handle::{SessionError, SessionHandle},
};
pub(crate) use self::{
    inner::{ReleaseReceiver, SessionInner},
    state::{LogEvent, SessionClosed, SessionOpened},
};
