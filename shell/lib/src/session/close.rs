//! The end of a session: why the shell closes one, and what ends with it.

use std::{mem, sync::Arc, time::Duration};

use rejoin_core::{Input, Instant, Rejection, Session, SessionCloseReason, StreamId};

use super::{buffer::End, inner::SessionInner, state::LockedSession};
use crate::{observer::SessionEvent, owner::OwnerPermits, payload::Payload};

/// The end of a backend.
#[derive(Debug)]
pub(super) struct BackendExit {
    /// The reason, if the backend gave one.
    pub(super) reason: Option<String>,
    /// Whether the core knows, while the session lives on.
    is_lost: bool,
}

impl BackendExit {
    pub(super) fn new(reason: Option<String>) -> Self {
        Self { reason, is_lost: false }
    }
}

/// Time after which clients reconnect to a session that is handed over at once.
#[cfg(feature = "store")]
const HANDOVER_RETRY: Duration = Duration::from_millis(500);

impl<P: Payload> SessionInner<P> {
    /// Closes the session once it has no pending requests, or hands it over if there is a store.
    pub(crate) fn drain(self: &Arc<Self>, retry: Duration) {
        #[cfg(feature = "store")]
        if self.shared.store.is_some() {
            return self.hand_over(retry, false);
        }
        // Never rejected.
        let _ = self.input(Input::Drain { retry });
    }

    /// Closes the session for a shutdown, or hands it over if there is a store.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        #[cfg(feature = "store")]
        if self.shared.store.is_some() {
            return self.hand_over(HANDOVER_RETRY, true);
        }
        let reason = SessionCloseReason::ServerShutdown;
        // Only rejected if the session is closed.
        let _ = self.input(Input::CloseSession { reason });
    }

    /// Fails the requests that were pending at a backend of another process.
    #[cfg(feature = "store")]
    pub(crate) fn on_backend_lost(self: &Arc<Self>) {
        // Only rejected if the session is closed.
        let _ = self.input(Input::BackendLost);
    }

    /// Ends the backend, while the session lives on.
    #[cfg(feature = "store")]
    pub(crate) fn end_backend(self: &Arc<Self>, reason: &str) {
        self.with_lock((), |locked| {
            locked.after_unlock.wake(self.queue.close());
            locked.after_unlock.run_handler = true;
        });
        self.on_backend_closed(Some(reason.to_owned()));
    }

    /// Handles the end of the backend, with its reason if it gave one. The session accepts no new
    /// messages. It is closed when its client has got everything that the backend had sent before,
    /// or has not come back for it in time.
    pub(crate) fn on_backend_closed(self: &Arc<Self>, reason: Option<String>) {
        self.with_lock((), |locked| {
            // Keeps the first reason: `ClientMessages::close` also drops them, without a reason.
            #[cfg(feature = "store")]
            {
                locked.state.handshake = None;
            }
            locked.state.backend_exit.get_or_insert_with(|| Box::new(BackendExit::new(reason)));
        });
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Returns an error if the backend has ended.
    pub(super) fn check_backend(&self) -> Result<(), Rejection> {
        match self.state.backend_exit {
            Some(_) => Err(Rejection::Closed(SessionCloseReason::BackendGone)),
            None => Ok(()),
        }
    }

    /// Returns the process of the session, if the input is its end.
    pub(super) fn ended_process(&self, input: &Input<P::Client, P::Server>) -> Option<i32> {
        let is_end = matches!(input, Input::BackendLost) && self.state.backend_exit.is_some();
        self.state.process.filter(|_| is_end)
    }

    /// Handles the end of the backend: its pending requests fail, and what it has sent before is
    /// still delivered. The session is closed once it is vacant, or for some payloads, once no
    /// connection has events to send.
    pub(super) fn close_after_backend(&mut self) {
        let Some(exit) = &mut self.state.backend_exit else { return };
        let is_over = if P::OUTLIVES_BACKEND {
            if !mem::replace(&mut exit.is_lost, true) {
                self.state.owner_permits = OwnerPermits::default();
                self.apply(Input::BackendLost);
                self.disconnect_standalone_if_lost();
                if self.state.core.close_reason().is_none() {
                    self.add_unused(Instant::MAX);
                }
            }
            self.state.core.is_vacant()
        } else {
            let core = &self.state.core;
            !core.connections().any(|connection| core.has_backlog(connection))
        };
        if is_over {
            self.apply(Input::BackendGone);
            self.state.backend_exit = None;
        }
    }

    /// Disconnects the standalone stream if nothing more will be sent on it.
    pub(super) fn disconnect_standalone_if_lost(&mut self) {
        if self.check_backend().is_err() {
            self.apply(Input::Disconnect { stream: StreamId::Standalone, retry: None });
        }
    }

    /// Closes the session after a panic. Its core is replaced, so that it is not used again.
    pub(super) fn close_panicked(&mut self) {
        let config = self.state.core.config().clone();
        self.state.core = Session::new(config, self.now());
        #[cfg(feature = "journal")]
        {
            self.state.recorder = None;
        }
        self.apply(Input::CloseSession { reason: SessionCloseReason::InternalError });
    }

    /// Ends everything that belongs to the session, except what must not be done under its lock.
    pub(super) fn close(&mut self, reason: SessionCloseReason) {
        let (session, state) = (self.session, &mut *self.state);
        self.after_unlock.wake(session.queue.close());
        self.after_unlock.run_handler = true;
        for buffer in state.buffers.iter_mut() {
            self.after_unlock.wake(buffer.close(End::Lost));
        }
        let held = state.held_senders.drain(..).map(|(_, sender)| sender);
        let waiting = state.kept.remove_waiters(session.id());
        self.after_unlock.released_senders.extend(held.chain(waiting));
        state.request_timeouts = None;
        if let Some(scheduled) = state.scheduled.take() {
            session.shared.deadlines.cancel(session.id(), scheduled);
        }
        if let Some(unused) = state.unused.take() {
            session.shared.unused.remove(unused.number);
        }
        state.owner_permits = OwnerPermits::default();
        #[cfg(feature = "store")]
        {
            state.handshake = None;
            self.end_tenure();
        }
        let state = &mut *self.state;
        let (was_opened, progress_dropped) = (state.is_opened, state.progress_dropped);
        self.observe_close(reason);
        let age = self.now().since(self.state.created_at);
        let closed = SessionEvent::Closed { reason, was_opened, age, progress_dropped };
        self.after_unlock.events.push(closed);
        self.after_unlock.closed = Some(reason);
    }
}
