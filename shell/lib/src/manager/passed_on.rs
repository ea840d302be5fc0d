//! Sessions of this process, for requests that other processes pass on.

use std::sync::{Arc, Weak};

use super::{Found, Inner, ManagerError, SessionManager};
use crate::{
    Principal, SessionHandle, SessionId,
    cluster::{Shutdown, link::Serve},
};

/// A manager that does not live for this reference.
#[derive(Debug)]
pub(crate) struct WeakSessionManager(Weak<Inner>);

/// What this process knows of a session that it is said to have.
pub(crate) enum Owned {
    Here(SessionHandle),
    /// It belongs to another principal.
    Foreign,
    /// This process does not have it.
    Moved,
}

impl WeakSessionManager {
    pub(crate) fn upgrade(&self) -> Option<SessionManager> {
        self.0.upgrade().map(|inner| SessionManager { inner })
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl SessionManager {
    pub(crate) fn downgrade(&self) -> WeakSessionManager {
        WeakSessionManager(Arc::downgrade(&self.inner))
    }

    /// Sets who does the calls that other processes pass on, if they can.
    pub(crate) fn serve_calls(&self, service: impl Serve) {
        if let Some(cluster) = &self.inner.cluster {
            cluster.serve_calls(Arc::new(service));
        }
    }

    /// Begins a stage of the shutdown, for the requests that this process passes on.
    pub(super) fn shut_down(&self, stage: Shutdown) {
        if let Some(cluster) = &self.inner.cluster {
            cluster.shut_down(stage);
        }
    }

    /// Waits until no request is open that this process passes on.
    pub(super) async fn passed_on_requests_ended(&self) {
        if let Some(cluster) = &self.inner.cluster {
            cluster.passed_on_requests_ended().await;
        }
    }

    /// Returns whether this process has a session, and may serve it. It takes over one that is its own in
    /// the store, because the claim was accepted after the request had been refused.
    pub(crate) async fn owns(&self, id: SessionId) -> bool {
        let Some(cluster) = &self.inner.cluster else { return false };
        if !self.is_available() {
            return false;
        }
        self.has_session(id)
            || (cluster.is_owner_in_store(id).await && self.take_over(cluster, id).await)
    }

    /// Returns a session of this process. It is never looked for in others. Without a lease, it is as
    /// good as theirs: whoever asks must look in the store.
    pub(crate) async fn owned_session(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<Owned, ManagerError> {
        let Some(cluster) = &self.inner.cluster else { return Ok(Owned::Moved) };
        if self.wait_for_lease(cluster).await.is_err() {
            return Ok(Owned::Moved);
        }
        match self.certain_session(principal, id).await {
            Ok(session) => Ok(Owned::Here(session)),
            Err(ManagerError::NotFound) if self.has_session(id) => Ok(Owned::Foreign),
            Err(ManagerError::NotFound | ManagerError::Moved) => Ok(Owned::Moved),
            Err(error) => Err(error),
        }
    }

    /// Finds a session whose owner, as far as it was known, does not have it or is gone.
    pub(crate) async fn find_again(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<Found, ManagerError> {
        if let Some(cluster) = &self.inner.cluster {
            cluster.forget_owner(id);
        }
        self.find(principal, id).await
    }
}
