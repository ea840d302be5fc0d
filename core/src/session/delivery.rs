//! Delivery of server requests, and its timeouts.

use core::{iter, mem};

use super::{
    Session,
    kept::UnloggedEvent,
    requests::{ServerRequest, ServerRequestKey},
    stream::{STANDALONE, StreamKey},
};
use crate::{Action, Actions, Change, Instant, UnansweredReason, timers::TimerKind};

impl<C, S> Session<C, S> {
    /// Starts the delivery timers of a detached stream. Server requests whose event was evicted
    /// fail.
    #[inline]
    pub(super) fn start_delivery_timers(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        if self.server_requests.is_empty() {
            return;
        }
        let mut index = self.streams[stream].acknowledged;
        while let Some((next, request)) = self.next_server_request(stream, index) {
            index = next;
            if self.streams[stream].log.contains(index) {
                self.start_delivery_timer(stream, request);
            } else {
                self.fail_server_request(request, UnansweredReason::Evicted, out);
            }
        }
    }

    /// Cancels the delivery timers of a stream whose new connection will be sent the log. Server
    /// requests whose event was evicted fail.
    #[inline]
    pub(super) fn cancel_delivery_timers(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        if self.server_requests.is_empty() {
            return;
        }
        let mut index = self.streams[stream].acknowledged;
        while let Some((next, request)) = self.next_server_request(stream, index) {
            index = next;
            if self.streams[stream].log.contains(index) {
                self.cancel_delivery_timer(request);
            } else {
                self.fail_server_request(request, UnansweredReason::Evicted, out);
            }
        }
    }

    /// Handles an acknowledgement through an index: the server requests up to there were
    /// delivered, and await their responses.
    #[inline]
    pub(super) fn on_delivered(&mut self, stream: StreamKey, through: u64) {
        if self.server_requests.is_empty() {
            return;
        }
        let mut index = self.streams[stream].acknowledged;
        while let Some((next, request)) =
            self.next_server_request(stream, index).filter(|(next, _)| *next <= through)
        {
            index = next;
            self.cancel_delivery_timer(request);
            self.start_response_timer(request);
        }
    }

    /// Fails all undelivered server requests of a stream.
    pub(super) fn fail_undelivered(
        &mut self,
        stream: StreamKey,
        reason: UnansweredReason,
        out: &mut Actions<C, S>,
    ) {
        if self.server_requests.is_empty() {
            return;
        }
        let acknowledged = self.streams[stream].acknowledged;
        while let Some((_, request)) = self.next_server_request(stream, acknowledged) {
            self.fail_server_request(request, reason, out);
        }
    }

    /// Returns when the client of a detached stream is expected: now, or when its retry has
    /// passed.
    pub(super) fn client_expected_at(&self, stream: StreamKey) -> Instant {
        self.now.max(self.streams[stream].retry_at)
    }

    /// Clears the time at which the client of a stream is expected.
    pub(super) fn clear_retry(&mut self, stream: StreamKey) {
        let retry_at = mem::replace(&mut self.streams[stream].retry_at, Instant::EPOCH);
        if retry_at > self.now && retry_at == self.retry_at {
            let streams = iter::once(STANDALONE).chain(self.streams.request_streams());
            let last = streams.map(|key| self.streams[key].retry_at).max();
            self.retry_at = last.unwrap_or(Instant::EPOCH);
        }
    }

    /// Starts the delivery timer of a server request, unless it is already running.
    pub(super) fn start_delivery_timer(&mut self, stream: StreamKey, key: ServerRequestKey) {
        let deadline =
            self.client_expected_at(stream).deadline_after(self.config.timeouts().delivery);
        let timers = &mut self.timers;
        if let Some(request) = self.server_requests.get_mut(key) {
            request
                .timer
                .get_or_insert_with(|| timers.insert(TimerKind::Delivery, key.0, deadline));
        }
    }

    /// Starts the response timer of a delivered server request.
    fn start_response_timer(&mut self, key: ServerRequestKey) {
        let deadline = self.now.deadline_after(self.config.timeouts().server_request);
        if let Some(request) = self.server_requests.get_mut(key).filter(|it| !it.was_delivered) {
            request.was_delivered = true;
            request.timer = Some(self.timers.insert(TimerKind::Response, key.0, deadline));
        }
    }

    /// Fails a server request: the driver sends the backend an error response.
    pub(super) fn fail_server_request(
        &mut self,
        request: ServerRequestKey,
        reason: UnansweredReason,
        out: &mut Actions<C, S>,
    ) {
        if let Some(ServerRequest { id, .. }) = self.end_server_request(request, false, out) {
            out.push(Action::FailServerRequest { id, reason });
        }
    }

    /// Fails a server request that was not delivered in time, and removes its event.
    pub(super) fn on_delivery_timeout(
        &mut self,
        request: ServerRequestKey,
        out: &mut Actions<C, S>,
    ) {
        let Some(request) = self.end_server_request(request, true, out) else {
            return;
        };
        out.push(Action::FailServerRequest {
            id: request.id,
            reason: UnansweredReason::Undelivered,
        });
    }

    /// Removes a server request that is no longer waiting, and its event, if that is retracted.
    pub(super) fn end_server_request(
        &mut self,
        key: ServerRequestKey,
        is_retracted: bool,
        out: &mut Actions<C, S>,
    ) -> Option<ServerRequest> {
        let request = self.remove_server_request(key)?;
        if is_retracted && let Some(stream) = self.streams.find(request.stream) {
            self.retract(stream, request.index);
        }
        self.commit(|| Change::ServerRequestEnded { id: request.id.clone(), is_retracted }, out);
        Some(request)
    }

    /// Removes an event that no client needs any more from the log of a stream.
    fn retract(&mut self, stream: StreamKey, index: u64) {
        let cost = self.streams[stream].log.retract(index);
        self.logged_bytes -= cost;
        if let Some(holder) = self.streams[stream].holder()
            && self.connections[holder].cursor.in_flight().contains(&index)
        {
            self.add_unlogged(holder, UnloggedEvent { index, cost });
        }
    }

    fn cancel_delivery_timer(&mut self, request: ServerRequestKey) {
        let request = self.server_requests.get_mut(request).filter(|it| !it.was_delivered);
        if let Some(timer) = request.and_then(|request| request.timer.take()) {
            self.timers.remove(timer);
        }
    }

    fn next_server_request(
        &self,
        stream: StreamKey,
        after: u64,
    ) -> Option<(u64, ServerRequestKey)> {
        self.server_requests.next_after(self.streams[stream].id, after)
    }
}
