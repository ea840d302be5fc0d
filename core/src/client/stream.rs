//! Streams: what a POST is answered with, over all its exchanges.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use super::{
    Action, CallFailure, Client, ExchangeId, Purpose, Report, seen::SeenIds, timers::Timer,
};
use crate::{Instant, RequestId};

/// The events that answer a POST, or those of the standalone stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) role: Role,
    /// The request of the application that has no response yet.
    pub(super) request: Option<RequestId>,
    /// The session that it belongs to.
    pub(super) generation: u64,
    pub(super) exchange: Option<ExchangeId>,
    pub(super) seen: SeenIds,
    /// The reconnect delay that the server asked for.
    pub(super) retry: Option<Duration>,
    /// Exchanges since the last message.
    pub(super) attempts: u32,
    /// When the server was last reached.
    pub(super) since: Instant,
    /// Whether the server has accepted an exchange of it.
    pub(super) was_open: bool,
    pub(super) is_reauthorized: bool,
}

/// What a stream is for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It answers `initialize` of the application.
    Initialize,
    /// It answers `initialize` of the machine.
    Renew,
    /// It answers any other message.
    Post,
    /// The standalone stream.
    Standalone,
}

impl Stream {
    pub(super) fn new(
        role: Role,
        request: Option<RequestId>,
        generation: u64,
        exchange: ExchangeId,
        now: Instant,
    ) -> Self {
        Self {
            role,
            request,
            generation,
            exchange: Some(exchange),
            seen: SeenIds::default(),
            retry: None,
            attempts: 0,
            since: now,
            was_open: role != Role::Standalone,
            is_reauthorized: false,
        }
    }

    /// Returns whether nothing is pending on it, and nothing will be.
    pub(super) fn is_settled(&self) -> bool {
        self.role == Role::Post && self.request.is_none()
    }
}

impl<C: Clone, S> Client<C, S> {
    /// Handles that a stream has no exchange any more.
    pub(super) fn on_detached(
        &mut self,
        number: u64,
        was_reached: bool,
        out: &mut Vec<Action<C, S>>,
    ) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.exchange = None;
        if was_reached {
            stream.since = now;
        }
        match stream.role {
            Role::Standalone => self.resume_later(number, was_reached, None, out),
            Role::Renew => {
                self.remove_stream(number, out);
                self.on_not_renewed(&CallFailure::ConnectionLost, out);
            }
            Role::Initialize | Role::Post => {
                let is_pending = stream.request.is_some();
                let is_current = stream.generation == self.session.generation;
                if !is_pending {
                    self.remove_stream(number, out);
                } else if !is_current {
                    self.fail_stream(number, CallFailure::SessionLost, out);
                } else if stream.seen.last().is_some() {
                    self.resume_later(number, was_reached, None, out);
                } else {
                    self.fail_stream(number, CallFailure::ConnectionLost, out);
                }
            }
        }
    }

    /// Resumes a stream after a delay: that of the server, or a growing one. `was_reached` is
    /// whether the server has accepted the last exchange.
    pub(super) fn resume_later(
        &mut self,
        number: u64,
        was_reached: bool,
        retry_after: Option<Duration>,
        out: &mut Vec<Action<C, S>>,
    ) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let is_standalone = stream.role == Role::Standalone;
        // A server that asks for no delay must not be asked in a loop.
        let retry = stream.retry.map(|retry| retry.max(self.config.backoff_min));
        let asked = retry.max(retry_after).unwrap_or_default().min(self.config.retry_max);
        let limit = stream.since.saturating_add(self.config.resume_timeout.max(asked));
        if !is_standalone && self.now >= limit {
            self.fail_stream(number, CallFailure::NotResumed, out);
            return;
        }
        let is_told = retry.is_some() && (was_reached || stream.attempts == 0);
        let chosen = if is_told { Duration::ZERO } else { self.backoff.delay(stream.attempts) };
        let chosen = self.now.saturating_add(chosen);
        let chosen = if is_standalone { chosen } else { chosen.min(limit) };
        let at = chosen.max(self.now.saturating_add(asked));
        let delay = at.since(self.now);
        stream.attempts = stream.attempts.saturating_add(1);
        self.timers.set(Timer::Resume(number), at);
        out.push(Action::Report(Report::Reconnecting { delay, is_standalone }));
    }

    /// Sends the GET of a stream.
    pub(super) fn resume(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        let exchange = ExchangeId(self.next_number());
        let session = self.session_headers();
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.exchange = Some(exchange);
        let last_event_id = stream.seen.last().map(Box::from);
        self.exchanges.insert(exchange, Purpose::Stream(number));
        out.push(Action::Get { exchange, session, last_event_id });
    }

    /// Gives up the request of a stream, and forgets the stream.
    pub(super) fn fail_stream(
        &mut self,
        number: u64,
        failure: CallFailure,
        out: &mut Vec<Action<C, S>>,
    ) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (role, request) = (stream.role, stream.request.take());
        self.remove_stream(number, out);
        if let Some(request) = request {
            self.fail(request, failure, out);
        } else if role == Role::Renew {
            self.on_not_renewed(&failure, out);
        }
    }

    /// Notes that nothing is pending on a stream any more. Its exchange is read to its end, so
    /// that the driver can use its connection again.
    pub(super) fn settle(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.request = None;
        if stream.role == Role::Standalone {
            return;
        }
        if stream.exchange.is_some() {
            stream.role = Role::Post;
            self.lingering.push_back(number);
        } else {
            self.remove_stream(number, out);
        }
    }

    /// Aborts the exchanges of the oldest streams on which nothing is pending, if there are too
    /// many.
    pub(super) fn end_lingering(&mut self, out: &mut Vec<Action<C, S>>) {
        while self.lingering.len() > self.config.lingering_max {
            if let Some(oldest) = self.lingering.pop_front() {
                self.remove_stream(oldest, out);
            }
        }
    }

    /// Forgets a stream, and aborts its exchange.
    pub(super) fn remove_stream(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        let Some(stream) = self.streams.remove(&number) else { return };
        self.timers.clear(Timer::Resume(number));
        self.standalone.take_if(|standalone| *standalone == number);
        self.lingering.retain(|lingering| *lingering != number);
        if let Some(exchange) = stream.exchange
            && self.exchanges.remove(&exchange).is_some()
        {
            out.push(Action::Abort { exchange });
        }
    }
}
