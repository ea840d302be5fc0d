//! Heads of HTTP responses.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Action, CallFailure, Client, ExchangeId, Phase, Place, Purpose, Report, Response,
    outgoing::{Kind, Stage},
    stream::{Role, Stream},
};
use crate::Head;

impl<C: Clone, S> Client<C, S> {
    /// Handles the response to the POST of a message.
    pub(super) fn on_posted(
        &mut self,
        number: u64,
        exchange: ExchangeId,
        response: Response<S>,
        out: &mut Vec<Action<C, S>>,
    ) {
        if response.is_success() {
            self.on_accepted(number, exchange, response.session_id, out);
            return;
        }
        // The exchange has ended.
        self.exchanges.remove(&exchange);
        let status = response.status;
        let Some(outgoing) = self.outgoing.get_mut(&number) else { return };
        let is_unknown_session =
            status == 404 && outgoing.has_session && !outgoing.begins_session();
        if is_unknown_session {
            self.on_unknown_session(number, out);
            return;
        }
        out.push(Action::Report(Report::Refused { status }));
        let may_reauthorize = response.credentials_changed && !outgoing.is_reauthorized;
        if matches!(status, 401 | 403) && may_reauthorize {
            outgoing.is_reauthorized = true;
            outgoing.stage = Stage::Queued;
            return;
        }
        if matches!(outgoing.kind, Kind::Renew | Kind::Renewed) {
            let asked = response.retry_after.unwrap_or_default().min(self.config.retry_max);
            self.session.not_before = self.now.saturating_add(asked);
        }
        let may_send_later = match status {
            429 => true,
            503 => response.retry_after.is_some(),
            _ => false,
        };
        if may_send_later && self.send_later(number, response.retry_after, out) {
            return;
        }
        self.on_refused(number, response, out);
    }

    /// Handles that the server has accepted a message: what follows is its stream.
    fn on_accepted(
        &mut self,
        number: u64,
        exchange: ExchangeId,
        session_id: Option<Box<str>>,
        out: &mut Vec<Action<C, S>>,
    ) {
        let Some(outgoing) = self.take_outgoing(number) else { return };
        let role = match outgoing.kind {
            Kind::Initialize => Role::Initialize,
            Kind::Renew => Role::Renew,
            Kind::Request | Kind::Initialized | Kind::Other | Kind::Bound | Kind::Renewed => {
                Role::Post
            }
        };
        if outgoing.begins_session() {
            self.session.version = None;
            let is_given = session_id.is_some();
            self.session.id = session_id.filter(|id| self.is_valid_session_id(id));
            if is_given && self.session.id.is_none() {
                out.push(Action::Report(Report::InvalidId));
            }
        }
        let key = self.next_number();
        if let Some(id) = &outgoing.request {
            self.requests.insert(id.clone(), Place::Stream(key));
        }
        let generation = outgoing.generation;
        let stream = Stream::new(role, outgoing.request, generation, exchange, self.now);
        if stream.is_settled() {
            self.lingering.push_back(key);
        }
        self.streams.insert(key, stream);
        self.exchanges.insert(exchange, Purpose::Stream(key));
        match outgoing.kind {
            Kind::Renewed => self.on_renewed(out),
            Kind::Initialized => self.open_standalone(out),
            Kind::Initialize | Kind::Renew | Kind::Bound => {}
            Kind::Request | Kind::Other => self.prove_session(generation),
        }
    }

    /// Notes that the session has accepted a message of the application.
    fn prove_session(&mut self, generation: u64) {
        if generation == self.session.generation && self.phase == Phase::Live {
            self.session.is_proven = true;
            self.session.attempts = 0;
        }
    }

    /// Handles that the server does not know the session of a message, which it did not execute.
    fn on_unknown_session(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        let Some(outgoing) = self.outgoing.get_mut(&number) else { return };
        let (generation, is_resent) = (outgoing.generation, outgoing.is_resent);
        outgoing.is_resent = true;
        outgoing.stage = Stage::Queued;
        match outgoing.kind {
            Kind::Renewed => {
                // There is nothing to delete.
                self.session.id = None;
                self.fail_outgoing(number, CallFailure::SessionLost, out);
                return;
            }
            // The new session gets one from the machine.
            Kind::Initialized => drop(self.take_outgoing(number)),
            Kind::Bound => self.fail_outgoing(number, CallFailure::NoSession, out),
            Kind::Request | Kind::Other if is_resent => {
                self.fail_outgoing(number, CallFailure::Refused { status: 404 }, out);
            }
            Kind::Request | Kind::Other | Kind::Initialize | Kind::Renew => {}
        }
        self.on_session_lost(generation, out);
    }

    /// Gives up a message that the server has refused. If the body has the error response, the
    /// application gets that.
    fn on_refused(&mut self, number: u64, response: Response<S>, out: &mut Vec<Action<C, S>>) {
        let Some(outgoing) = self.outgoing.get(&number) else { return };
        if let (Some(request), Some(error)) = (&outgoing.request, response.error)
            && error.head == (Head::Error { id: Some(request.clone()) })
        {
            let request = request.clone();
            self.remove_outgoing(number, out);
            self.requests.remove(&request);
            self.on_initialize_failed(&request, out);
            out.push(Action::Deliver { message: error.body });
            return;
        }
        self.fail_outgoing(number, CallFailure::Refused { status: response.status }, out);
    }

    /// Handles the response to the GET that resumes a stream.
    pub(super) fn on_resumed(
        &mut self,
        number: u64,
        exchange: ExchangeId,
        response: &Response<S>,
        out: &mut Vec<Action<C, S>>,
    ) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if response.is_success() && response.status != 204 {
            stream.since = now;
            stream.was_open = true;
            stream.is_reauthorized = false;
            return;
        }
        self.exchanges.remove(&exchange);
        stream.exchange = None;
        let (status, generation) = (response.status, stream.generation);
        let (was_open, is_standalone) = (stream.was_open, self.standalone == Some(number));
        match status {
            404 if self.session.id.is_some() && was_open => {
                if self.phase == Phase::Initializing {
                    // There is nothing to delete.
                    self.session.id = None;
                }
                self.on_session_lost(generation, out);
                self.fail_stream(number, CallFailure::SessionLost, out);
            }
            401 | 403 if response.credentials_changed && !stream.is_reauthorized => {
                stream.is_reauthorized = true;
                self.resume(number, out);
            }
            // 409: the server has not noticed yet that the last connection was lost.
            401 | 403 | 408 | 409 | 429 | 500..=599 => {
                out.push(Action::Report(Report::Refused { status }));
                self.resume_later(number, false, response.retry_after, out);
            }
            // 404: the server has none, if it was never open.
            204 | 404 | 405 if is_standalone && (status != 404 || !was_open) => {
                self.remove_stream(number, out);
                out.push(Action::Report(Report::NoStandalone { status }));
            }
            // Perhaps the server does not know the event any more.
            _ if is_standalone => {
                stream.seen.forget_last();
                out.push(Action::Report(Report::Refused { status }));
                self.resume_later(number, false, response.retry_after, out);
            }
            204 => self.fail_stream(number, CallFailure::Unanswered, out),
            _ => {
                out.push(Action::Report(Report::Refused { status }));
                self.fail_stream(number, CallFailure::NotResumed, out);
            }
        }
    }

    fn is_valid_session_id(&self, id: &str) -> bool {
        let is_visible = |byte: u8| (0x21..=0x7e).contains(&byte);
        id.len() <= self.config.session_id_bytes_max && id.bytes().all(is_visible) && !id.is_empty()
    }
}
