//! A backend that has exited while its session lives on.

use alloc::vec::Vec;
use core::mem;

use smallvec::SmallVec;

use super::{Phase, Session, requests::failure, stream::StreamKey};
use crate::{Action, Actions, FailureReason, RequestId, RequestOutcome, SessionCloseReason};

impl<C, S: Clone> Session<C, S> {
    /// Handles the end of the backend: fails the pending requests, and forgets what only the
    /// backend could go on with. A session that is not initialized closes.
    #[cold]
    pub(super) fn on_backend_lost(&mut self, out: &mut Actions<C, S>) {
        if !matches!(self.phase, Phase::Live) {
            self.close(SessionCloseReason::BackendGone, out);
            return;
        }
        self.release_all(out);
        self.end_server_requests(out);
        for timer in self.requests.cancelled.take_timers() {
            self.timers.remove(timer);
        }
        self.requests.tasks.clear();
        // The others are retained, and those added to them may take their places.
        let in_use = self
            .streams
            .request_streams()
            .filter(|key| self.streams[*key].is_open() || self.streams[*key].attached().is_some());
        let in_use: Vec<StreamKey> = in_use.collect();
        for stream in in_use {
            if self.streams[stream].is_open() {
                self.fail_unanswered(stream, out);
            } else {
                // The last event that it was not sent may be gone.
                self.close_if_caught_up(stream, out);
            }
        }
    }

    fn fail_unanswered(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        let pending: SmallVec<[RequestId; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            self.record(stream, failure(id.clone(), FailureReason::BackendGone), out);
            self.resolve(&id, RequestOutcome::BackendLost, out);
        }
        self.complete(stream, out);
    }

    /// Releases all senders.
    fn release_all(&mut self, out: &mut Actions<C, S>) {
        let mut held = mem::take(&mut self.held_streams);
        held.sort_unstable_by_key(|held| held.stream);
        for held in held {
            if let Some(timer) = held.timer {
                self.timers.remove(timer);
            }
            out.push(Action::Release { stream: held.stream });
        }
    }

    /// Ends all server requests. The events of those that were not delivered are retracted.
    fn end_server_requests(&mut self, out: &mut Actions<C, S>) {
        let ids: Vec<RequestId> = self.server_requests.ids().cloned().collect();
        for id in ids {
            let Some(key) = self.server_requests.find(&id) else { continue };
            let Some(request) = self.server_requests.get(key) else { continue };
            let (index, stream) = (request.index, self.streams.find(request.stream));
            let is_retracted = stream.is_some_and(|stream| {
                index > self.streams[stream].acknowledged
                    && self.streams[stream].log.contains(index)
            });
            self.end_server_request(key, is_retracted, out);
        }
    }
}
