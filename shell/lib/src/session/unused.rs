//! A session that its client has not used yet, or cannot use any more: it is closed earlier than others.

use std::sync::Arc;

use rejoin_core::{Input, Instant, SessionCloseReason};

use super::{inner::SessionInner, state::LockedSession};
use crate::{owner::OwnerPermits, payload::Payload};

/// The state of a session whose client has only sent `initialize` and `ping` requests, or whose
/// backend has ended.
#[derive(Debug)]
pub(super) struct UnusedSession {
    /// The number that the manager knows it by.
    pub(super) number: u64,
    /// When the session is closed, unless it has a connection then.
    pub(super) deadline: Instant,
}

impl<P: Payload> SessionInner<P> {
    /// Marks the session as unused, and counts it for its owner.
    pub(crate) fn mark_unused(self: &Arc<Self>, owner_permits: OwnerPermits) {
        self.with_lock((), |locked| {
            if locked.state.core.close_reason().is_none() {
                let deadline = locked.unused_deadline();
                locked.add_unused(deadline);
                if locked.check_backend().is_ok() {
                    locked.state.owner_permits = owner_permits;
                }
            }
        });
    }

    /// Counts a session for its owner that its client has used in another process, unless it has no
    /// backend any more.
    #[cfg(feature = "store")]
    pub(crate) fn mark_restored(self: &Arc<Self>, owner_permits: OwnerPermits) {
        self.with_lock((), |locked| {
            if locked.state.core.close_reason().is_none() && locked.check_backend().is_ok() {
                locked.state.owner_permits = owner_permits;
            }
        });
    }

    /// Closes the session if it is initialized but unused, and has no connection. Returns whether
    /// it did.
    pub(crate) fn close_if_unused(self: &Arc<Self>) -> bool {
        self.with_lock(true, |locked| {
            let is_closable = locked.state.unused.is_some() && locked.is_disconnected();
            if is_closable {
                locked.close_unused();
            }
            is_closable
        })
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Lets the session be closed when another one needs its place.
    pub(super) fn add_unused(&mut self, deadline: Instant) {
        if self.state.unused.is_none() {
            let number = self.session.shared.unused.add(Arc::downgrade(self.session));
            self.state.unused = Some(UnusedSession { number, deadline });
        }
    }

    /// Notes that the client uses the session.
    pub(super) fn mark_used(&mut self) {
        if self.state.core.initialized().is_some()
            && let Some(unused) = self.state.unused.take()
        {
            self.session.shared.unused.remove(unused.number);
        }
    }

    /// Closes the session if it has been unused for too long, or postpones that if it has a
    /// connection.
    pub(super) fn close_if_unused_for_too_long(&mut self) {
        let (now, next) = (self.now(), self.unused_deadline());
        let is_disconnected = self.is_disconnected();
        let unused = self.state.unused.as_mut().filter(|unused| unused.deadline <= now);
        let Some(unused) = unused else { return };
        unused.deadline = next;
        if is_disconnected {
            self.close_unused();
        }
    }

    fn close_unused(&mut self) {
        let reason = match self.check_backend() {
            Ok(()) => SessionCloseReason::Idle,
            Err(_) => SessionCloseReason::BackendGone,
        };
        self.apply(Input::CloseSession { reason });
    }

    /// Returns whether the session is initialized and has no connection.
    fn is_disconnected(&mut self) -> bool {
        self.core().initialized().is_some() && self.state.buffers.is_empty()
    }

    fn unused_deadline(&self) -> Instant {
        let timeout = self.session.shared.config.unused_timeout;
        timeout.map_or(Instant::MAX, |timeout| self.now().saturating_add(timeout))
    }
}
