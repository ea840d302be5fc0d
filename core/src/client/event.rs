//! Events of the server.

use alloc::vec::Vec;

use super::{
    Action, CallFailure, Client, Content, Event, Lists, Phase, Place, Report, outgoing::Kind,
    stream::Role,
};
use crate::{Head, Initialized, Message, Notification, RequestId};

impl<C: Clone, S> Client<C, S> {
    /// Handles an event of a stream.
    pub(super) fn on_event(&mut self, number: u64, event: Event<S>, out: &mut Vec<Action<C, S>>) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if let Some(retry) = event.retry {
            stream.retry = Some(retry.min(self.config.retry_max));
        }
        let is_known = event.id.as_ref().is_some_and(|id| stream.seen.contains(id));
        let generation = stream.generation;
        match event.id {
            Some(id) if id.is_empty() => stream.seen.forget_last(),
            Some(id) if id.len() > self.config.event_id_bytes_max => {
                stream.seen.forget_last();
                out.push(Action::Report(Report::InvalidId));
            }
            Some(id) if is_known => stream.seen.see_again(id),
            Some(id) => stream.seen.push(id, self.config.event_ids_max),
            None => {}
        }
        if is_known && !event.messages.is_empty() {
            out.push(Action::Report(Report::DuplicateEvent));
        } else if !event.messages.is_empty() {
            stream.attempts = 0;
        }
        for message in event.messages {
            // A message of the same event may have ended the session.
            let is_current = generation == self.session.generation;
            if is_current || self.concerns_lost_session(number, &message.head, out) {
                self.on_server_message(number, message, event.lists, is_known, out);
            }
        }
        if event.is_too_large {
            out.push(Action::Report(Report::EventTooLarge));
            // It may be the response.
            if self.role(number).is_some_and(|role| role != Role::Standalone) {
                self.fail_stream(number, CallFailure::ResponseTooLarge, out);
            }
        }
    }

    fn role(&self, stream: u64) -> Option<Role> {
        self.streams.get(&stream).map(|stream| stream.role)
    }

    /// Returns whether a message on a stream of a lost session is handled, although another session
    /// may have begun: the response to the request of the stream, and notifications.
    fn concerns_lost_session(&self, number: u64, head: &Head, out: &mut Vec<Action<C, S>>) -> bool {
        let report = match head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                if self.requests.get(id) == Some(&Place::Stream(number)) {
                    return true;
                }
                Report::DroppedResponse { request: id.clone() }
            }
            Head::Request { id, .. } => Report::DroppedServerRequest { request: id.clone() },
            // The next session may use the id for another request.
            Head::Notification(Notification::Cancelled { .. }) => return false,
            Head::Notification(_) | Head::Error { id: None } => return true,
        };
        out.push(Action::Report(report));
        false
    }

    /// Handles a message of the server. `is_known` is whether its event was received before.
    fn on_server_message(
        &mut self,
        number: u64,
        message: Message<S>,
        lists: Lists,
        is_known: bool,
        out: &mut Vec<Action<C, S>>,
    ) {
        let Message { head, body, .. } = message;
        match head {
            Head::Response { id, initialized, .. } => match self.role(number) {
                Some(Role::Renew) => self.on_session_opened(number, &id, initialized, lists, out),
                Some(Role::Initialize) if self.is_initialize(&id) => {
                    self.on_initialized(initialized, lists);
                    self.deliver_response(&id, body, out);
                }
                Some(Role::Initialize | Role::Post | Role::Standalone) | None => {
                    self.deliver_response(&id, body, out);
                }
            },
            Head::Error { id: Some(id) } => {
                if self.role(number) == Some(Role::Renew) {
                    self.fail_stream(number, CallFailure::NoSession, out);
                } else {
                    self.on_initialize_failed(&id, out);
                    self.deliver_response(&id, body, out);
                }
            }
            // The server could not read the id of the request.
            Head::Error { id: None } => {
                if self.role(number).is_some_and(|role| role != Role::Standalone) {
                    self.fail_stream(number, CallFailure::Unanswered, out);
                }
            }
            Head::Request { .. } | Head::Notification(_) if is_known => {}
            Head::Request { id, .. } => self.on_server_request(id, body, out),
            Head::Notification(Notification::Cancelled { request }) => {
                self.server_requests.remove(&request);
                out.push(Action::Deliver { message: body });
            }
            Head::Notification(_) => out.push(Action::Deliver { message: body }),
        }
    }

    /// Delivers the response to a pending request; drops any other.
    fn deliver_response(&mut self, id: &RequestId, body: S, out: &mut Vec<Action<C, S>>) {
        let Some(place) = self.requests.remove(id) else {
            out.push(Action::Report(Report::DroppedResponse { request: id.clone() }));
            return;
        };
        out.push(Action::Deliver { message: body });
        match place {
            // It came on another stream, before the head of its own response.
            Place::Outgoing(number) => self.remove_outgoing(number, out),
            Place::Stream(number) => self.settle(number, out),
        }
    }

    fn on_server_request(&mut self, id: RequestId, body: S, out: &mut Vec<Action<C, S>>) {
        if self.server_requests.contains(&id) {
            out.push(Action::Report(Report::DroppedServerRequest { request: id }));
        } else if self.server_requests.len() < self.config.server_requests_max {
            self.server_requests.insert(id);
            out.push(Action::Deliver { message: body });
        } else {
            self.refuse_server_request(Content::Busy { request: id }, out);
        }
    }

    /// Sends the server an error in place of a response of the application.
    pub(super) fn refuse_server_request(
        &mut self,
        content: Content<C>,
        out: &mut Vec<Action<C, S>>,
    ) {
        let max = self.config.queued_max.saturating_add(self.config.server_requests_max);
        if self.outgoing.len() < max {
            self.push_outgoing(Kind::Bound, None, content, 0);
        } else if let Content::Busy { request } | Content::Dropped { request } = content {
            out.push(Action::Report(Report::DroppedServerRequest { request }));
        }
    }

    fn is_initialize(&self, id: &RequestId) -> bool {
        self.session.initialize.as_ref().is_some_and(|(initialize, _)| initialize == id)
            && self.requests.contains_key(id)
    }

    /// Handles that the first session is initialized.
    fn on_initialized(&mut self, initialized: Initialized, lists: Lists) {
        self.phase = Phase::Live;
        self.session.version = initialized.version;
        self.session.first_version = initialized.version;
        self.session.logging = initialized.logging;
        self.session.lists = lists;
        self.session.live_since = self.now;
        self.session.awaits_initialized = true;
    }
}
