//! Places for sessions.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock,
    sync::{Semaphore, SemaphorePermit},
};

/// As many places as sessions are allowed.
#[derive(Debug)]
pub(super) struct Places {
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
    taken: Option<Arc<Taken>>,
}

/// A place that is free again when it is dropped.
struct Taken(Arc<Places>);

/// The place of a session, as long as the session has it.
#[derive(Clone, Debug)]
pub(crate) struct WeakPlace(std::sync::Weak<Taken>);

impl Places {
    pub(super) fn new(sessions_max: usize) -> Arc<Self> {
        Arc::new(Self { free: Semaphore::new(sessions_max.min(PLACES_LIMIT)) })
    }

    /// Takes a place, if one is free.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<SessionPermit> {
        self.free.try_acquire_many(1).ok().map(|permit| self.take(permit))
    }

    /// Takes a place, or waits for one. Cancel-safe.
    pub(super) async fn take_in(self: &Arc<Self>, timeout: Duration) -> Option<SessionPermit> {
        let permit = clock::timeout(timeout, self.free.acquire_many(1)).await;
        permit.ok()?.ok().map(|permit| self.take(permit))
    }

    fn take(self: &Arc<Self>, permit: SemaphorePermit<'_>) -> SessionPermit {
        permit.forget();
        SessionPermit { taken: Some(Arc::new(Taken(Arc::clone(self)))) }
    }
}

/// More places than any machine has room for.
const PLACES_LIMIT: usize = 1 << 30;

impl SessionPermit {
    /// Returns the place of nobody.
    #[cfg(feature = "stdio")]
    pub(crate) fn none() -> Self {
        Self { taken: None }
    }

    pub(crate) fn downgrade(&self) -> WeakPlace {
        WeakPlace(self.taken.as_ref().map(Arc::downgrade).unwrap_or_default())
    }
}

impl WeakPlace {
    pub(crate) fn upgrade(&self) -> SessionPermit {
        SessionPermit { taken: self.0.upgrade() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.free.add_permits(1);
    }
}

impl fmt::Debug for SessionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}
