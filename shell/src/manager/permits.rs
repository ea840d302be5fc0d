//! Places for sessions.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock,
    sync::{Semaphore, SemaphorePermit},
};

/// As many places as sessions are allowed.
#[derive(Debug)]
pub(super) struct SessionPermits {
    free: Semaphore,
}

/// The place of a session, which counts as one of
/// [`Settings::sessions_max`](crate::Settings::sessions_max).
///
/// A session leaves its place when it ends. A backend whose server takes a while to end keeps
/// the place for as long, so that there never are more servers than sessions are allowed.
#[derive(Clone)]
pub struct SessionPermit {
    /// `None` where the session had left it already.
    permit: Option<Arc<Permit>>,
}

/// A place that is free again when it is dropped.
struct Permit(Arc<SessionPermits>);

/// The place of a session, as long as the session has it.
#[derive(Clone, Debug)]
pub(crate) struct WeakPermit(std::sync::Weak<Permit>);

impl SessionPermits {
    pub(super) fn new(sessions_max: usize) -> Arc<Self> {
        Arc::new(Self { free: Semaphore::new(sessions_max.min(PERMITS_LIMIT)) })
    }

    /// Takes a place, if one is free.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<SessionPermit> {
        self.free.try_acquire_many(1).ok().map(|permit| self.session_permit(permit))
    }

    /// Takes a place, or waits for one. Cancel-safe.
    pub(super) async fn acquire_within(
        self: &Arc<Self>,
        timeout: Duration,
    ) -> Option<SessionPermit> {
        let permit = clock::timeout(timeout, self.free.acquire_many(1)).await;
        permit.ok()?.ok().map(|permit| self.session_permit(permit))
    }

    fn session_permit(self: &Arc<Self>, permit: SemaphorePermit<'_>) -> SessionPermit {
        permit.forget();
        SessionPermit { permit: Some(Arc::new(Permit(Arc::clone(self)))) }
    }
}

/// More places than any machine has room for.
const PERMITS_LIMIT: usize = 1 << 30;

impl SessionPermit {
    /// Returns the place of nobody.
    #[cfg(feature = "stdio")]
    pub(crate) fn none() -> Self {
        Self { permit: None }
    }

    pub(crate) fn downgrade(&self) -> WeakPermit {
        WeakPermit(self.permit.as_ref().map(Arc::downgrade).unwrap_or_default())
    }
}

impl WeakPermit {
    pub(crate) fn upgrade(&self) -> SessionPermit {
        SessionPermit { permit: self.0.upgrade() }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.free.add_permits(1);
    }
}

impl fmt::Debug for SessionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}
