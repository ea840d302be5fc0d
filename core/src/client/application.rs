//! Messages of the application.

use alloc::vec::Vec;

use super::{
    Action, CallFailure, Client, Phase, Place, Report,
    outgoing::{Kind, Outgoing},
};
use crate::{Head, Message, Method, Notification, RequestId};

/// What an accepted message does.
enum Effect {
    /// It is sent, as this kind.
    Send(Kind),
    /// It cancels a request that was not sent, and need not be sent itself.
    Withdraw { request: RequestId },
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
        match self.check_message(&message, is_initialized) {
            Ok(Effect::Send(kind)) => self.accept(message, kind, out),
            Ok(Effect::Withdraw { request }) => {
                self.withdraw(&request, out);
            }
            Ok(Effect::Drop) => out.push(Action::Report(Report::DroppedMessage)),
            Err(failure) => match message.head {
                Head::Request { id, .. } => out.push(Action::Fail { request: id, failure }),
                Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => {
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
                if is_awaited { Effect::Send(Kind::Other) } else { Effect::Drop }
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
            // The new session gets one from the machine.
            Phase::Renewing if is_initialized => return Ok(Effect::Drop),
            Phase::Live if is_initialized => {
                let is_first = self.session.generation == 1 && self.standalone.is_none();
                return Ok(if is_first && self.session.barrier.is_none() {
                    Effect::Send(Kind::Initialized)
                } else {
                    Effect::Drop
                });
            }
            Phase::Live | Phase::Renewing => {}
        }
        if let Notification::Cancelled { request } = notification
            && let Some(Place::Outgoing(number)) = self.requests.get(request)
            && self.outgoing.get(number).is_some_and(Outgoing::is_unsent)
        {
            return Ok(Effect::Withdraw { request: request.clone() });
        }
        Ok(Effect::Send(Kind::Other))
    }

    /// Queues a message that was checked.
    fn accept(&mut self, message: Message<C>, kind: Kind, out: &mut Vec<Action<C, S>>) {
        let request = match message.head {
            Head::Request { id, .. } => Some(id),
            Head::Notification(Notification::Cancelled { request }) => {
                self.withdraw(&request, out);
                None
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.server_requests.remove(&id);
                None
            }
            Head::Notification(_) | Head::Error { id: None } => None,
        };
        if let (Kind::Initialize, Some(id)) = (kind, &request) {
            self.phase = Phase::Initializing;
            self.session.initialize = Some((id.clone(), message.body.clone()));
        }
        let number = self.queue(kind, request, message.body, message.bytes);
        if kind == Kind::Initialized {
            self.session.barrier = Some(number);
        }
    }

    /// Stops waiting for a request that the application has cancelled.
    fn withdraw(&mut self, request: &RequestId, out: &mut Vec<Action<C, S>>) {
        match self.requests.remove(request) {
            Some(Place::Outgoing(number)) => self.remove_outgoing(number, out),
            Some(Place::Stream(number)) => self.remove_stream(number, out),
            None => {}
        }
    }
}
