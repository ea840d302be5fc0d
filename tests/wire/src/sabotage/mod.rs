//! Sabotage: what a server must not do, done on purpose, so that the judge is seen to see it.

mod body;
mod delivery;
mod service;

use bytes::Bytes;

pub(crate) use self::delivery::Delivery;
pub(crate) use self::service::Sabotaged;

/// Something that a server must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// It loses an event now and then.
    Loses,
    /// It sends one twice.
    Repeats,
    /// It sends one on another stream.
    Misroutes,
    /// It says nothing of gaps.
    HidesGaps,
    /// It says something else of gaps in its log messages.
    Miscounts,
    /// It sends nothing any more.
    Holds,
    /// It does not tell the session that a connection is gone.
    Leaks,
    /// It ends a stream in the middle of an event.
    CutsEvents,
    /// It takes a POST without a request, and does nothing with it.
    DropsPosts,
    /// It hears one twice.
    DoublesPosts,
    /// It accepts a request, and takes it for a notification.
    ForgetsRequests,
    /// It accepts what it must refuse.
    Accepts,
    /// It says that there is no such session, where there is one.
    Denies,
    /// What its backend hears breaks off.
    Garbles,
    /// Its backend does not hear all of it.
    Deafens,
    /// It takes its backend for dead.
    Buries,
    /// It holds sessions to other limits than it was told.
    Loosens,
    /// It panics.
    Panics,
}

/// Returns whether some bytes have a text in them.
fn has(bytes: &Bytes, text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
