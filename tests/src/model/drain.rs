//! Section "Draining".

use rejoin_core::{Input, Rejection, SessionCloseReason, StreamId};

use super::{
    Case, Model,
    connection::Role,
    state::Stage,
    stream::{Phase, Stream},
};

impl Model {
    /// Checks whether an input is allowed while the session drains.
    pub(super) fn check_drain(&self, input: &Input<u64>) -> Result<(), Rejection> {
        let is_request = matches!(input, Input::Post { post, .. } if post.has_request());
        if is_request && self.draining.is_some() { Err(Rejection::Draining) } else { Ok(()) }
    }

    /// Closes the session if it drains, and waits for nothing.
    pub(super) fn close_if_drained(&mut self) {
        let Some(retry) = self.draining.filter(|_| self.closed.is_none()) else {
            return;
        };
        if matches!(self.stage, Stage::Initialized(_)) {
            let awaits_client = self.streams.iter().any(|stream| self.awaits_end(stream));
            let has_in_flight = self
                .connections
                .iter()
                .any(|it| it.role == Role::Draining && !it.in_flight.is_empty());
            if self.pending_requests() > 0 || awaits_client || has_in_flight {
                self.reach(Case::Drains);
                return;
            }
        }
        self.disconnect(StreamId::Standalone, Some(retry), None);
        self.close(SessionCloseReason::ServerShutdown);
    }

    /// Returns whether the end of a complete stream may still be acknowledged.
    fn awaits_end(&self, stream: &Stream) -> bool {
        stream.phase == Phase::Complete
            && !stream.is_fully_acknowledged()
            && (stream.can_come_back || self.attached(stream.id).is_some())
    }
}
