//! Permits for sessions, which limit their number.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock,
    sync::{Semaphore, SemaphorePermit},
};

/// The permits of a manager: one for each session that is allowed.
#[derive(Debug)]
pub(super) struct SessionPermits {
    free: Semaphore,
}

/// The permit of a session, which counts towards
/// [`ManagerConfig::sessions_max`](crate::ManagerConfig::sessions_max).
///
/// A session drops its permit when it ends. A backend whose server takes a while to exit holds
/// the permit until then, so that there are never more servers than sessions are allowed.
#[derive(Clone)]
pub struct SessionPermit {
    /// `None` if the session had already dropped it.
    permit: Option<Arc<Permit>>,
}

/// A permit, which is returned when it is dropped.
struct Permit(Arc<SessionPermits>);

/// A weak reference to the permit of a session.
#[derive(Clone, Debug)]
pub(crate) struct WeakPermit(std::sync::Weak<Permit>);

impl SessionPermits {
    pub(super) fn new(sessions_max: usize) -> Arc<Self> {
        Arc::new(Self { free: Semaphore::new(sessions_max.min(PERMITS_LIMIT)) })
    }

    /// Acquires a permit, if one is available.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<SessionPermit> {
        self.free.try_acquire_many(1).ok().map(|permit| self.session_permit(permit))
    }

    /// Acquires a permit, waiting for at most `timeout`. Cancel-safe.
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

/// Maximum number of permits that the semaphore is created with.
const PERMITS_LIMIT: usize = 1 << 30;

impl SessionPermit {
    /// Returns a permit that counts for no session.
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
        f.debug_struct("SessionPermit").finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
