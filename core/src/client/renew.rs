//! Lost sessions, and the new ones that replace them.

use alloc::vec::Vec;

use super::{
    Action, CallFailure, Client, Content, Lists, Notice, Phase, Report,
    outgoing::{Kind, Outgoing},
    stream::Role,
    timers::Timer,
};
use crate::{Initialized, RequestId};

impl<C: Clone, S> Client<C, S> {
    /// Handles that the server does not know the session of this generation.
    pub(super) fn on_session_lost(&mut self, generation: u64, out: &mut Vec<Action<C, S>>) {
        if self.phase != Phase::Live || generation != self.session.generation {
            return;
        }
        self.phase = Phase::Renewing;
        self.session.lost_at = self.now;
        self.session.permanent = None;
        let lived = self.now.since(self.session.live_since);
        let was_useful = self.session.is_proven || lived >= self.config.backoff_max;
        out.push(Action::Report(Report::SessionLost));
        if self.session.logging {
            out.push(Action::Notify(Notice::SessionLost));
        }
        self.forget_session(out);
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        for number in streams {
            self.fail_stream(number, CallFailure::SessionLost, out);
        }
        if was_useful {
            self.session.attempts = 0;
            self.begin_session(out);
        } else {
            self.begin_session_later(out);
        }
    }

    /// Forgets the session, and what belongs to it alone.
    fn forget_session(&mut self, out: &mut Vec<Action<C, S>>) {
        self.session.id = None;
        self.session.version = None;
        self.session.generation += 1;
        self.session.is_proven = false;
        self.session.awaits_initialized = false;
        self.timers.clear(Timer::Open);
        for request in core::mem::take(&mut self.server_requests) {
            out.push(Action::Notify(Notice::Cancelled { request }));
        }
        let ended = self.outgoing.iter().filter(|(_, outgoing)| outgoing.ends_with_session());
        let ended: Vec<u64> = ended.map(|(number, _)| *number).collect();
        for number in ended {
            let is_of_application = self.outgoing.get(&number).is_some_and(|outgoing| {
                outgoing.kind == Kind::Bound && matches!(outgoing.content, Content::Message(_))
            });
            self.remove_outgoing(number, out);
            if is_of_application {
                out.push(Action::Report(Report::DroppedMessage));
            }
        }
    }

    /// Begins a new session after a delay.
    fn begin_session_later(&mut self, out: &mut Vec<Action<C, S>>) {
        let chosen = self.now.saturating_add(self.backoff.delay(self.session.attempts));
        let at = chosen.max(self.session.not_before);
        self.session.attempts = self.session.attempts.saturating_add(1);
        self.timers.set(Timer::Renew, at);
        out.push(Action::Report(Report::NotRenewed { delay: at.since(self.now) }));
        // What would fail before that attempt fails now.
        self.end_waiting(at, out);
    }

    /// Begins a new session.
    pub(super) fn begin_session(&mut self, out: &mut Vec<Action<C, S>>) {
        let Some((_, body)) = self.session.initialize.clone() else { return };
        self.timers.set(Timer::Open, self.now.saturating_add(self.config.send_timeout));
        let number = self.push_outgoing(Kind::Renew, None, Content::Message(body), 0);
        self.post(number, out);
    }

    /// Handles the response to the `initialize` of a new session.
    pub(super) fn on_session_opened(
        &mut self,
        stream: u64,
        id: &RequestId,
        initialized: Initialized,
        lists: Lists,
        out: &mut Vec<Action<C, S>>,
    ) {
        if self.session.initialize.as_ref().is_none_or(|(initialize, _)| initialize != id) {
            out.push(Action::Report(Report::DroppedResponse { request: id.clone() }));
            return;
        }
        self.session.version = initialized.version;
        self.session.lists = lists;
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.role = Role::Post;
        }
        self.settle(stream, out);
        let number = self.push_outgoing(Kind::Renewed, None, Content::Initialized, 0);
        self.post(number, out);
    }

    /// Handles that the server has accepted the `notifications/initialized` of a new session.
    pub(super) fn on_renewed(&mut self, out: &mut Vec<Action<C, S>>) {
        self.phase = Phase::Live;
        self.session.live_since = self.now;
        self.timers.clear(Timer::Open);
        self.timers.clear(Timer::Wait);
        let version_changed = self.session.version != self.session.first_version;
        out.push(Action::Report(Report::SessionRenewed { version_changed }));
        if self.session.lists != Lists::default() {
            out.push(Action::Notify(Notice::ListsChanged(self.session.lists)));
        }
        self.open_standalone(out);
    }

    /// Handles that the session was not opened in time.
    pub(super) fn on_not_opened(&mut self, out: &mut Vec<Action<C, S>>) {
        match self.session.barrier {
            Some(barrier) => self.fail_outgoing(barrier, CallFailure::ConnectionLost, out),
            None => self.on_not_renewed(&CallFailure::ConnectionLost, out),
        }
    }

    /// Handles that no new session could be opened. What waits for it fails, unless another attempt
    /// may succeed.
    pub(super) fn on_not_renewed(&mut self, failure: &CallFailure, out: &mut Vec<Action<C, S>>) {
        if self.phase != Phase::Renewing {
            return;
        }
        let generation = self.session.generation;
        let session = self.session_headers();
        self.forget_session(out);
        let streams = self.streams.iter().filter(|(_, stream)| stream.generation == generation);
        let streams: Vec<u64> = streams.map(|(number, _)| *number).collect();
        for number in streams {
            self.remove_stream(number, out);
        }
        self.delete_session(session, out);
        self.fail_waiting(failure, out);
        self.begin_session_later(out);
    }

    /// Forgets the `initialize` of the application, if this is its request, and the session that
    /// the server may have begun.
    pub(super) fn on_initialize_failed(
        &mut self,
        request: &RequestId,
        out: &mut Vec<Action<C, S>>,
    ) {
        let is_initialize = self.session.initialize.as_ref().is_some_and(|(id, _)| id == request);
        if self.phase == Phase::Initializing && is_initialize {
            self.phase = Phase::New;
            self.session.initialize = None;
            let session = self.session_headers();
            self.session.id = None;
            self.delete_session(session, out);
        }
    }
}

impl<C> Outgoing<C> {
    /// Returns whether it is of no use after the end of its session.
    fn ends_with_session(&self) -> bool {
        match self.kind {
            Kind::Initialized | Kind::Bound | Kind::Renew | Kind::Renewed => true,
            Kind::Initialize | Kind::Request | Kind::Other => false,
        }
    }
}
