//! A connection of a session that another process has.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rejoin_core::EventId;

use super::{
    super::{refusal::Refusal, unanswered::Unanswered},
    closing, owner_gone, unexpected_reply,
};
use crate::{
    SseEvent,
    cluster::{
        OpenRequest, Shutdown, ShutdownReceiver,
        link::{Control, OpenCall, Reply},
    },
    session::MessagePart,
};

/// A connection whose events come over a link. What its owner has sent counts as acknowledged; it sends
/// more when it is asked for.
#[derive(Debug)]
pub(in super::super) struct RemoteConnection {
    call: OpenCall,
    /// Those of one reply.
    events: Vec<SseEvent>,
    part: Option<MessagePart>,
    state: State,
    /// Why the owner has no more, if that is not as it should be.
    refusal: Option<Refusal>,
    is_expired: bool,
    /// The beginning of a message that is read as a whole.
    partial: Option<(Option<EventId>, Vec<u8>)>,
    /// Maximum size of a message.
    message_bytes_max: usize,
    /// Whether the owner has sent something by which a client that accepts SSE can resume, or the
    /// response.
    has_begun: bool,
    /// Whether a part of a large message was received, and not yet the last one.
    is_mid_message: bool,
    end: EndAtShutdown,
    /// The request that has opened it, if it was a POST.
    _request: Option<OpenRequest>,
}

/// Ends a connection when the process shuts down that passes it on.
pub(super) struct EndAtShutdown {
    shutdown: ShutdownReceiver,
    /// The current stage.
    stage: Shutdown,
    /// The next one, once somebody waits for it.
    next: Option<Pin<Box<dyn Future<Output = Shutdown> + Send>>>,
    kind: Kind,
    retry: Duration,
}

/// What a connection is, for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The response to a client that does not accept SSE, and so cannot resume.
    Json,
    /// The response to another client.
    Request,
    /// A stream that the client has asked for by GET.
    Get,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The owner has sent everything that it was asked for.
    Idle,
    /// The owner was asked for more.
    Pulled,
    /// There is nothing more.
    Ended { is_complete: bool },
    /// The link was cut, or the response is lost at the owner.
    Cut,
}

impl RemoteConnection {
    /// Begins with the first reply, which needs no pull.
    pub(super) fn begin(
        reply: Reply,
        call: OpenCall,
        message_bytes_max: usize,
        end: EndAtShutdown,
        request: Option<OpenRequest>,
    ) -> Result<Self, Refusal> {
        let mut connection = Self {
            call,
            events: Vec::new(),
            part: None,
            state: State::Pulled,
            refusal: None,
            is_expired: false,
            partial: None,
            message_bytes_max,
            has_begun: false,
            is_mid_message: false,
            end,
            _request: request,
        };
        if connection.receive(reply) { Ok(connection) } else { Err(unexpected_reply()) }
    }

    /// Returns whether the reply is one of a connection.
    fn receive(&mut self, reply: Reply) -> bool {
        match reply {
            Reply::Events { events, has_more, is_complete } => {
                self.state = match (has_more, events.is_empty()) {
                    (false, _) => State::Ended { is_complete },
                    (true, true) => self.state,
                    (true, false) => State::Idle,
                };
                self.events.extend(events.into_iter().map(SseEvent::from));
                self.has_begun |= Unanswered::is_settled_by(&self.events);
                true
            }
            Reply::Part(part) => {
                self.state = State::Idle;
                self.has_begun |= part.is_last;
                self.is_mid_message = !part.is_last;
                self.part = Some(part);
                true
            }
            Reply::Refused { status, code, message, retry_after } => {
                let refusal = Refusal::of_owner(status, code, message, retry_after);
                self.refusal = Some(refusal);
                false
            }
            Reply::Moved | Reply::Foreign | Reply::Done | Reply::Cancelled => false,
        }
    }

    pub(in super::super) fn poll_small_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        loop {
            if self.part.is_some() {
                return Poll::Ready(true);
            }
            let has_more = matches!(self.state, State::Idle | State::Pulled);
            if !self.events.is_empty() {
                events.append(&mut self.events);
                return Poll::Ready(has_more);
            }
            if !has_more {
                return Poll::Ready(false);
            }
            if self.state == State::Idle {
                self.state = State::Pulled;
                self.call.say(Control::Pull);
            }
            let Poll::Ready(reply) = self.call.poll_reply(cx) else {
                ready!(self.poll_shutdown(cx));
                continue;
            };
            let is_received = reply.is_some_and(|reply| self.receive(reply));
            if !is_received {
                self.state = State::Cut;
            }
        }
    }

    /// Ends a stream as soon as its client can resume, once this process drains. Ready when a response has
    /// failed, because this process closes, and its client cannot come back for it.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.end.poll_next(cx).is_ready() {
            if self.end.kind != Kind::Json {
                self.expire(self.end.retry);
            }
        }
        let fails = match self.end.kind {
            Kind::Json => true,
            Kind::Request => !self.has_begun,
            Kind::Get => false,
        };
        if self.end.stage < Shutdown::Closing || self.is_mid_message || !fails {
            return Poll::Pending;
        }
        self.state = State::Cut;
        self.refusal = Some(closing());
        Poll::Ready(())
    }

    pub(in super::super) fn take_part(&mut self) -> Option<MessagePart> {
        self.part.take()
    }

    /// Like [`poll_small_events`](Self::poll_small_events), with large messages as a whole.
    pub(in super::super) fn poll_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        loop {
            let has_more = ready!(self.poll_small_events(cx, events));
            let Some(part) = self.part.take() else {
                if !has_more && self.partial.is_some() {
                    // Its rest is lost.
                    self.state = State::Cut;
                }
                return Poll::Ready(has_more);
            };
            let (_, data) = self.partial.get_or_insert_with(|| (part.id, Vec::new()));
            data.extend_from_slice(&part.data);
            if data.len() > self.message_bytes_max {
                self.state = State::Cut;
                self.refusal = Some(unexpected_reply());
                return Poll::Ready(false);
            }
            if part.is_last
                && let Some((id, data)) = self.partial.take()
            {
                events.push(SseEvent::Message { id, data: data.into() });
                return Poll::Ready(true);
            }
        }
    }

    pub(in super::super) fn is_complete(&self) -> bool {
        self.state == State::Ended { is_complete: true }
    }

    pub(in super::super) fn disconnect(&self, retry: Duration) {
        self.call.say(Control::Disconnect { retry });
    }

    pub(in super::super) fn expire(&mut self, retry: Duration) {
        if !std::mem::replace(&mut self.is_expired, true) {
            self.call.say(Control::Expire { retry });
        }
    }

    /// Returns an error if the response is lost.
    pub(in super::super) fn check_end(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Cut => Err(self.refusal.take().unwrap_or_else(owner_gone)),
            State::Idle | State::Pulled | State::Ended { .. } => Ok(()),
        }
    }
}

impl EndAtShutdown {
    pub(super) fn new(shutdown: ShutdownReceiver, kind: Kind, retry: Duration) -> Self {
        Self { shutdown, stage: Shutdown::Running, next: None, kind, retry }
    }

    /// Waits for the next stage. Pending after the last one.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = || self.shutdown.clone().after(self.stage);
        let next = self.next.get_or_insert_with(|| Box::pin(after()));
        self.stage = ready!(next.as_mut().poll(cx));
        self.next = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for EndAtShutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndAtShutdown").field("kind", &self.kind).finish_non_exhaustive()
    }
}
