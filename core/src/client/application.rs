//! Messages of the application.

use alloc::vec::Vec;

use super::{
    Action, CallFailure, Client, Content, Phase, Place, Report, outgoing::Kind, timers::Timer,
};
use crate::{Head, Message, Method, Notification, RequestId};

/// What an accepted message does.
enum Effect {
    /// It is sent, as this kind.
    Send(Kind),
    /// It is dropped.
    Drop,
}

impl<C: Clone, S> Client<C, S> {
    pub(super) fn on_message(
        &mut self,
        message: Message<C>,
        is_initialized: bool,
        out: &mut Vec<Action<C, S>>,
    ) {
        if let Head::Notification(Notification::Cancelled { request }) = &message.head
            && matches!(self.phase, Phase::Live | Phase::Renewing)
            && !self.withdraw(request, out)
        {
            return;
        }
        match self.check_message(&message, is_initialized) {
            Ok(Effect::Send(kind)) => self.accept(message, kind),
            Ok(Effect::Drop) => out.push(Action::Report(Report::DroppedMessage)),
            Err(failure) => match message.head {
                Head::Request { id, .. } => out.push(Action::Fail { request: id, failure }),
                Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                    out.push(Action::Report(Report::DroppedMessage));
                    if self.server_requests.remove(&id) {
                        self.refuse_server_request(Content::Dropped { request: id }, out);
                    }
                }
                Head::Notification(_) | Head::Error { id: None } => {
                    out.push(Action::Report(Report::DroppedMessage));
                }
            },
        }
    }

    /// Checks a message, without side effects.
    fn check_message(
        &self,
        message: &Message<C>,
        is_initialized: bool,
    ) -> Result<Effect, CallFailure> {
        let effect = match &message.head {
            Head::Request { id, method, .. } => Effect::Send(self.check_request(id, *method)?),
            Head::Notification(notification) => {
                self.check_notification(notification, is_initialized)?
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                let is_awaited = self.server_requests.contains(id);
                if is_awaited { Effect::Send(Kind::Bound) } else { Effect::Drop }
            }
            Head::Error { id: None } => Effect::Drop,
        };
        if matches!(effect, Effect::Send(_)) {
            let max = self.config.message_bytes_max;
            if message.bytes > max {
                return Err(CallFailure::MessageTooLarge { max });
            }
            let bytes = self.queued_bytes.saturating_add(message.bytes);
            if self.outgoing.len() >= self.config.queued_max || bytes > self.config.queued_bytes_max
            {
                return Err(CallFailure::TooManyMessages);
            }
        }
        Ok(effect)
    }

    fn check_request(&self, id: &RequestId, method: Method) -> Result<Kind, CallFailure> {
        let is_initialize = matches!(method, Method::Initialize { .. });
        if self.requests.contains_key(id) {
            return Err(CallFailure::RequestIdInUse);
        }
        match self.phase {
            Phase::New if is_initialize => Ok(Kind::Initialize),
            Phase::Initializing | Phase::Live | Phase::Renewing if is_initialize => {
                Err(CallFailure::AlreadyInitialized)
            }
            Phase::New | Phase::Initializing | Phase::Closing | Phase::Closed => {
                Err(CallFailure::NotInitialized)
            }
            Phase::Live | Phase::Renewing => {
                if self.requests.len() >= self.config.requests_max {
                    return Err(CallFailure::TooManyMessages);
                }
                Ok(Kind::Request)
            }
        }
    }

    fn check_notification(
        &self,
        notification: &Notification,
        is_initialized: bool,
    ) -> Result<Effect, CallFailure> {
        match self.phase {
            Phase::New | Phase::Initializing | Phase::Closing | Phase::Closed => {
                return Err(CallFailure::NotInitialized);
            }
            Phase::Live | Phase::Renewing => {}
        }
        Ok(match notification {
            // A session that replaces a lost one gets it from the machine.
            Notification::Other if is_initialized => {
                if self.session.awaits_initialized {
                    Effect::Send(Kind::Initialized)
                } else {
                    Effect::Drop
                }
            }
            Notification::Other | Notification::Log => Effect::Send(Kind::Other),
            // What they are about is lost.
            Notification::Progress { .. } | Notification::Cancelled { .. }
                if self.phase == Phase::Renewing =>
            {
                Effect::Drop
            }
            Notification::Progress { .. } | Notification::Cancelled { .. } => {
                Effect::Send(Kind::Bound)
            }
        })
    }

    /// Queues a message that was checked.
    fn accept(&mut self, message: Message<C>, kind: Kind) {
        let request = match message.head {
            Head::Request { id, .. } => Some(id),
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.server_requests.remove(&id);
                None
            }
            Head::Notification(_) | Head::Error { id: None } => None,
        };
        if let (Kind::Initialize, Some(id)) = (kind, &request) {
            self.phase = Phase::Initializing;
            self.session.generation += 1;
            self.session.initialize = Some((id.clone(), message.body.clone()));
        }
        let number = self.queue(kind, request, message.body, message.bytes);
        if kind == Kind::Initialized {
            self.session.awaits_initialized = false;
            self.session.barrier = Some(number);
            self.timers.set(Timer::Open, self.now.saturating_add(self.config.send_timeout));
        }
    }

    /// Stops waiting for a request that the application has cancelled. Returns whether the present
    /// session can know the request.
    fn withdraw(&mut self, request: &RequestId, out: &mut Vec<Action<C, S>>) -> bool {
        let generation = self.session.generation;
        let is_known = match self.requests.remove(request) {
            Some(Place::Outgoing(number)) => {
                let outgoing = self.outgoing.get(&number);
                let is_known =
                    outgoing.is_some_and(|it| !it.is_unsent() && it.generation == generation);
                self.remove_outgoing(number, out);
                is_known
            }
            Some(Place::Stream(number)) => {
                let stream = self.streams.get(&number);
                let is_known = stream.is_some_and(|stream| stream.generation == generation);
                self.remove_stream(number, out);
                is_known
            }
            None => true,
        };
        is_known && self.phase == Phase::Live
    }
}
