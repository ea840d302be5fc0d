//! The session.

use core::ops::Range;
use crate::*;
/// How a session answers an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pressure {
    /// Go on.
    None,
    /// The sender of this message should wait for [`Action::Release`] of the
    /// stream: a reader that makes progress trails by half of its log.
    Hold(StreamId),
}
/// One client's conversation with one server, as a state machine.
#[derive(Debug)]
pub struct Session<M> { log: Log<M> }

impl<M: Clone> Session<M> {
    /// Begins a session at `now`.
    #[must_use]
    pub fn new(_config: ValidConfig, _now: Instant) -> Self { todo!() }
    /// Applies one input. Actions are appended to `out`, in the order in which
    /// they must be carried out.
    pub fn handle(&mut self, _now: Instant, _input: Input<M>, _out: &mut Actions<M>) -> Result<Pressure, Rejection> { todo!() }
    /// Returns when the next [`Input::Tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> { todo!() }
    /// Returns the retained events of `stream` in `range`.
    pub fn replay(&self, _stream: StreamId, range: Range<u64>) -> impl Iterator<Item = &Logged<M>> { self.log.range(range) }
    /// Returns the cursor of a known connection that carries, carried or drains from a stream; `None` for one that is unknown.
    #[must_use]
    pub fn cursor(&self, _connection: ConnectionId) -> Option<&Cursor> { todo!() }
    /// Returns the log of a stream: of the standalone stream, or a request stream that is reserved, open or complete.
    #[must_use]
    pub fn log(&self, _stream: StreamId) -> Option<&Log<M>> { Some(&self.log) }
    /// Returns the stream that `connection` carries.
    #[must_use]
    pub fn carried(&self, _connection: ConnectionId) -> Option<StreamId> { todo!() }
    /// Returns the stream of a pending request of the client.
    #[must_use]
    pub fn stream_of(&self, _request: &RequestId) -> Option<StreamId> { todo!() }
    /// Goes through the known connections (also that of `initialize`), by id.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> { core::iter::empty() }
    /// Returns how many requests of the client are pending.
    #[must_use]
    pub fn pending(&self) -> usize { todo!() }
    /// Returns what the logs cost, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize { todo!() }
    /// Returns why the session is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> { todo!() }
}
