//! Messages that the server has not accepted yet.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use super::{
    Action, CallFailure, Client, Content, ExchangeFailure, ExchangeId, Phase, Place, Purpose,
    Report, SessionHeaders, timers::Timer,
};
use crate::{Instant, RequestId};

/// A message that is sent by one POST, or waits for it.
#[derive(Debug)]
pub(super) struct Outgoing<C> {
    pub(super) kind: Kind,
    /// The request of the application, unless it has ended.
    pub(super) request: Option<RequestId>,
    pub(super) content: Content<C>,
    bytes: usize,
    pub(super) stage: Stage,
    /// When it was given to the machine.
    pub(super) queued_at: Instant,
    /// The session that it was last sent in.
    pub(super) generation: u64,
    /// Whether it was sent with a session id.
    pub(super) has_session: bool,
    /// When it was first sent.
    pub(super) since: Option<Instant>,
    /// Attempts that failed.
    attempts: u32,
    /// Whether it was sent again because its session was lost.
    pub(super) is_resent: bool,
    /// Whether it was sent again with other credentials.
    pub(super) is_reauthorized: bool,
}

/// What a message is for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `initialize` of the application.
    Initialize,
    /// `notifications/initialized` of the application.
    Initialized,
    /// Another request of the application.
    Request,
    /// A notification of the application.
    Other,
    /// A response or error to a request of the server, or a notification about a request. It is
    /// dropped with its session.
    Bound,
    /// `initialize` of the machine, for a new session.
    Renew,
    /// `notifications/initialized` of the machine, in a new session.
    Renewed,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for a session.
    Queued,
    /// It waits for a timer.
    Waiting,
    /// It is sent on an exchange, whose response has no head yet.
    Sent(ExchangeId),
}

impl<C> Outgoing<C> {
    pub(super) fn is_unsent(&self) -> bool {
        !matches!(self.stage, Stage::Sent(_))
    }

    /// Returns whether it is of the handshake, so that it does not wait for a session.
    pub(super) fn opens_session(&self) -> bool {
        matches!(self.kind, Kind::Initialize | Kind::Renew | Kind::Renewed)
    }

    /// Returns whether it begins a session, so that it does not belong to one.
    pub(super) fn begins_session(&self) -> bool {
        matches!(self.kind, Kind::Initialize | Kind::Renew)
    }
}

impl<C: Clone, S> Client<C, S> {
    /// Queues a message of the application.
    pub(super) fn queue(
        &mut self,
        kind: Kind,
        request: Option<RequestId>,
        body: C,
        bytes: usize,
    ) -> u64 {
        self.push_outgoing(kind, request, Content::Message(body), bytes)
    }

    /// Queues a message.
    pub(super) fn push_outgoing(
        &mut self,
        kind: Kind,
        request: Option<RequestId>,
        content: Content<C>,
        bytes: usize,
    ) -> u64 {
        let number = self.next_number();
        if let Some(id) = &request {
            self.requests.insert(id.clone(), Place::Outgoing(number));
        }
        self.queued_bytes += bytes;
        let outgoing = Outgoing {
            kind,
            request,
            content,
            bytes,
            stage: Stage::Queued,
            queued_at: self.now,
            generation: 0,
            has_session: false,
            since: None,
            attempts: 0,
            is_resent: false,
            is_reauthorized: false,
        };
        self.outgoing.insert(number, outgoing);
        number
    }

    /// Sends all queued messages that may be sent now.
    pub(super) fn send_queued(&mut self, out: &mut Vec<Action<C, S>>) {
        let queued = self.outgoing.iter();
        let queued = queued.filter(|(_, outgoing)| outgoing.stage == Stage::Queued);
        let queued: Vec<u64> = queued.map(|(number, _)| *number).collect();
        for number in queued {
            self.post(number, out);
        }
    }

    /// Sends a message, or queues it until it may be sent.
    pub(super) fn post(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        let barrier = self.session.barrier;
        let is_live = self.phase == Phase::Live && barrier.is_none_or(|barrier| barrier == number);
        let Some(outgoing) = self.outgoing.get(&number) else { return };
        let may_send = match outgoing.kind {
            Kind::Initialize | Kind::Renew | Kind::Renewed => true,
            Kind::Initialized | Kind::Request | Kind::Other | Kind::Bound => is_live,
        };
        let headers = if outgoing.begins_session() {
            SessionHeaders::default()
        } else {
            self.session_headers()
        };
        let exchange = may_send.then(|| ExchangeId(self.next_number()));
        let (now, generation) = (self.now, self.session.generation);
        let Some(outgoing) = self.outgoing.get_mut(&number) else { return };
        let Some(exchange) = exchange else {
            outgoing.stage = Stage::Queued;
            self.begin_waiting(number, out);
            return;
        };
        outgoing.stage = Stage::Sent(exchange);
        outgoing.since.get_or_insert(now);
        outgoing.generation = generation;
        outgoing.has_session = headers.id.is_some();
        let content = outgoing.content.clone();
        self.exchanges.insert(exchange, Purpose::Post(number));
        out.push(Action::Post { exchange, session: headers, content });
    }

    /// Handles that a POST has ended without a response.
    pub(super) fn on_post_failed(
        &mut self,
        number: u64,
        failure: ExchangeFailure,
        out: &mut Vec<Action<C, S>>,
    ) {
        let (failure, is_unsent) = match failure {
            ExchangeFailure::Unreachable => (CallFailure::Unreachable, true),
            // With this server, a connection has never been made.
            ExchangeFailure::Permanent { reason } if self.phase == Phase::Initializing => {
                (CallFailure::NoConnection { reason }, false)
            }
            ExchangeFailure::Permanent { reason } => (CallFailure::NoConnection { reason }, true),
            ExchangeFailure::ConnectionLost => (CallFailure::ConnectionLost, false),
        };
        if !(is_unsent && self.send_later(number, None, out)) {
            self.fail_outgoing(number, failure, out);
        }
    }

    /// Sends a message again later that the server has not executed. Returns whether there is
    /// enough time for that.
    pub(super) fn send_later(
        &mut self,
        number: u64,
        retry_after: Option<Duration>,
        out: &mut Vec<Action<C, S>>,
    ) -> bool {
        let Some(outgoing) = self.outgoing.get_mut(&number) else { return true };
        if outgoing.kind == Kind::Renew {
            return false;
        }
        let since = outgoing.since.unwrap_or(self.now);
        let limit = since.saturating_add(self.config.send_timeout);
        let asked = self.now.saturating_add(retry_after.unwrap_or_default());
        if self.now >= limit || asked > limit {
            return false;
        }
        let chosen = self.now.saturating_add(self.backoff.delay(outgoing.attempts));
        let at = chosen.min(limit).max(asked);
        let delay = at.since(self.now);
        outgoing.attempts = outgoing.attempts.saturating_add(1);
        outgoing.stage = Stage::Waiting;
        self.timers.set(Timer::Send(number), at);
        out.push(Action::Report(Report::Reconnecting { delay, is_standalone: false }));
        true
    }

    /// Gives up a message.
    pub(super) fn fail_outgoing(
        &mut self,
        number: u64,
        failure: CallFailure,
        out: &mut Vec<Action<C, S>>,
    ) {
        let Some(outgoing) = self.outgoing.get(&number) else { return };
        let (kind, request) = (outgoing.kind, outgoing.request.clone());
        self.remove_outgoing(number, out);
        match request {
            Some(request) => self.fail(request, failure, out),
            None => match kind {
                Kind::Renew | Kind::Renewed => self.on_not_renewed(&failure, out),
                // The server did not get it, or has refused it; its requests will tell more.
                Kind::Initialized => self.open_standalone(out),
                Kind::Initialize | Kind::Request | Kind::Other | Kind::Bound => {
                    out.push(Action::Report(Report::DroppedMessage));
                }
            },
        }
    }

    /// Forgets a message, and aborts its exchange.
    pub(super) fn remove_outgoing(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        if let Some(outgoing) = self.take_outgoing(number)
            && let Stage::Sent(exchange) = outgoing.stage
            && self.exchanges.remove(&exchange).is_some()
        {
            out.push(Action::Abort { exchange });
        }
    }

    /// Forgets a message, but not its exchange.
    pub(super) fn take_outgoing(&mut self, number: u64) -> Option<Box<Outgoing<C>>> {
        let outgoing = self.outgoing.remove(&number)?;
        self.queued_bytes -= outgoing.bytes;
        self.timers.clear(Timer::Send(number));
        if self.session.barrier.take_if(|barrier| *barrier == number).is_some() {
            self.timers.clear(Timer::Open);
        }
        Some(Box::new(outgoing))
    }
}
