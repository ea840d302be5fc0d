//! Draining: a session that accepts no further requests closes once it waits for nothing.

use core::time::Duration;

use super::{
    Phase, Session,
    connection::Role,
    stream::{STANDALONE, Stage, StreamKey},
};
use crate::{Actions, SessionCloseReason};

impl<C, S: Clone> Session<C, S> {
    /// Closes the session, which drains, if it waits for nothing.
    #[cold]
    pub(super) fn close_if_drained(&mut self, retry: Duration, out: &mut Actions<C, S>) {
        if !self.waits() {
            self.disconnect(STANDALONE, Some(retry), None, out);
            self.close(SessionCloseReason::ServerShutdown, out);
        }
    }

    /// Returns whether a request is pending, or a client can still get a response.
    fn waits(&self) -> bool {
        matches!(self.phase, Phase::Live)
            && (!self.requests.pending.is_empty()
                || self.connections.iter().any(|(_, key)| {
                    let connection = &self.connections[key];
                    matches!(connection.role(), Role::Draining(_))
                        && connection.cursor.has_unacknowledged()
                })
                || self.streams.request_streams().any(|stream| self.awaits_end(stream)))
    }

    /// Returns whether the client of a complete stream can still acknowledge its end.
    fn awaits_end(&self, key: StreamKey) -> bool {
        let stream = &self.streams[key];
        match stream.stage() {
            Stage::Complete { .. } => !stream.is_acknowledged(),
            Stage::Retained { .. } => !stream.is_acknowledged() && self.can_come_back(key),
            Stage::Standalone | Stage::Open { .. } => false,
        }
    }

    /// Returns whether the client of a stream has an event id to resume after.
    pub(super) fn can_come_back(&self, key: StreamKey) -> bool {
        let stream = &self.streams[key];
        let holder = stream.holder().map(|holder| &self.connections[holder]);
        stream.can_resume || holder.is_some_and(|holder| holder.can_resume)
    }
}
