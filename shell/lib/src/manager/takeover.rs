//! Sessions of other processes, which this one takes over.

use std::{sync::Arc, time::Duration};

use tracing::{error, info, warn};

use super::{Found, Inner, ManagerError, SessionManager, sessions::UnlistedSession};
use crate::{
    Principal, SessionEvent, SessionHandle, SessionId, clock,
    cluster::{Claim, Cluster, Resolution, RestoreFailure, Restored, TakeOver},
    permits::SessionPermit,
    session::{SessionStore, Standing, StoreJob},
    store::Takeover,
};

/// Time that a request waits for a session that may be another process's.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(1);

/// Time between looks meanwhile.
const DOUBT_INTERVAL: Duration = Duration::from_millis(20);

/// Time that a request waits for a session to be found or restored. The restoration goes on.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Number of times that a request looks for a session that moves.
const LOOKS_MAX: usize = 3;

impl SessionManager {
    /// Finds a session that this process has, or takes over, or that another one has.
    pub(super) async fn find_in_cluster(
        &self,
        cluster: &Arc<Cluster>,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<Found, ManagerError> {
        for _ in 0..LOOKS_MAX {
            self.wait_for_lease(cluster).await?;
            match self.find_or_take_over(cluster, principal, id).await? {
                Found::Here(session) => match certain(session, principal).await {
                    Err(ManagerError::Moved) => {}
                    found => return found.map(Found::Here),
                },
                #[cfg(feature = "cluster")]
                Found::There(link) => return Ok(Found::There(link)),
            }
        }
        Err(ManagerError::StoreAway)
    }

    /// Returns a session of this process, once it is certain that no other one has it.
    #[cfg(feature = "cluster")]
    pub(super) async fn certain_session(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<SessionHandle, ManagerError> {
        certain(self.session(id)?, principal).await
    }

    async fn find_or_take_over(
        &self,
        cluster: &Arc<Cluster>,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<Found, ManagerError> {
        if let Ok(session) = self.session(id) {
            return Ok(Found::Here(session));
        }
        #[cfg(feature = "cluster")]
        if let Some(link) = cluster.known_owner(id) {
            return Ok(Found::There(link));
        }
        if cluster.has_closed(id) {
            return Err(ManagerError::NotFound);
        }
        if self.shared().registry.is_closing() {
            // Another one takes it over.
            return Err(ManagerError::StoreAway);
        }
        match self.resolve(cluster, principal, id).await {
            // The next look tells who has it, if it has moved or ended since.
            Resolution::Here => {
                self.session(id).map(Found::Here).map_err(|_| ManagerError::StoreAway)
            }
            #[cfg(feature = "cluster")]
            Resolution::There => {
                let link = cluster.known_owner(id);
                link.map(Found::There).ok_or(ManagerError::StoreAway)
            }
            Resolution::NotFound => Err(ManagerError::NotFound),
            Resolution::Unavailable => Err(ManagerError::StoreAway),
        }
    }

    async fn resolve(
        &self,
        cluster: &Arc<Cluster>,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Resolution {
        let taker = Taker { manager: Arc::clone(&self.inner), principal: principal.cloned() };
        let resolving = cluster.resolve(id, self.shared().clock, taker);
        let resolved = clock::timeout(RESOLVE_TIMEOUT, resolving).await;
        resolved.unwrap_or(Resolution::Unavailable)
    }

    /// Takes over a session that is this process's own in the store. Returns whether it has it now.
    #[cfg(feature = "cluster")]
    pub(super) async fn take_over(&self, cluster: &Arc<Cluster>, id: SessionId) -> bool {
        !self.shared().registry.is_closing()
            && !cluster.has_closed(id)
            && self.resolve(cluster, None, id).await == Resolution::Here
    }

    /// Waits a little for the lease of this process.
    pub(super) async fn wait_for_lease(&self, cluster: &Arc<Cluster>) -> Result<(), ManagerError> {
        let shared = self.shared();
        if cluster.has_lease(shared.clock.now()) {
            return Ok(());
        }
        cluster.start(shared);
        let valid = async {
            while !cluster.has_lease(shared.clock.now()) {
                // If it is renewed before its end was noticed, as after a pause of the process, that is no
                // resumption.
                let resumed = clock::timeout(DOUBT_INTERVAL, cluster.lease_resumed());
                drop(resumed.await);
            }
        };
        clock::timeout(DOUBT_TIMEOUT, valid).await.map_err(|_| ManagerError::StoreAway)
    }
}

/// Waits until it is certain that no other process has a session.
async fn certain(
    session: SessionHandle,
    principal: Option<&Principal>,
) -> Result<SessionHandle, ManagerError> {
    if session.principal() != principal {
        return Err(ManagerError::NotFound);
    }
    let certain = async {
        loop {
            match session.inner().standing() {
                Standing::Own => return Ok(()),
                Standing::Moved => return Err(ManagerError::Moved),
                Standing::Doubt => clock::sleep(DOUBT_INTERVAL).await,
            }
        }
    };
    let certain = clock::timeout(DOUBT_TIMEOUT, certain).await;
    certain.unwrap_or(Err(ManagerError::StoreAway)).map(|()| session)
}

/// Waits until the store knows the end of a session.
pub(super) async fn ended(session: &SessionHandle) -> Result<(), ManagerError> {
    let Some(ended) = session.inner().end_in_store() else { return Ok(()) };
    let ended = clock::timeout(DOUBT_TIMEOUT, ended).await;
    match ended {
        Ok(Ok(())) => Ok(()),
        // Another process has the session, or the store is away.
        Ok(Err(_)) | Err(_) => Err(ManagerError::StoreAway),
    }
}

/// Takes sessions over for a manager.
struct Taker {
    manager: Arc<Inner>,
    /// Who asks for the session, as far as that is known.
    principal: Option<Principal>,
}

impl TakeOver for Taker {
    type Permit = SessionPermit;

    fn has(&self, session: SessionId) -> bool {
        self.manager.sessions.shared().registry.find(session).is_some()
    }

    async fn reserve(&self) -> Option<SessionPermit> {
        let sessions = &self.manager.sessions;
        // To whom the session belongs is known once its log is read: this spares most of that in vain.
        sessions.admit(self.principal.clone(), None).ok()?;
        sessions.reserve().await.ok()
    }

    async fn take_over(
        &self,
        session: SessionId,
        claim: Claim,
        permit: SessionPermit,
    ) -> Resolution {
        let Some(cluster) = &self.manager.cluster else { return Resolution::Unavailable };
        let epoch = claim.epoch;
        let shared = self.manager.sessions.shared();
        let now = shared.clock.now();
        let restored = cluster.restore(session, epoch, shared.session_config.clone(), now).await;
        let id = session.short();
        match restored {
            Ok(restored) => match self.insert(session, claim, restored, permit).await {
                Ok(()) => {
                    let event = SessionEvent::Restored { epoch };
                    shared.observers.on_session_event(session, &event);
                    Resolution::Here
                }
                Err(ManagerError::NotFound) => Resolution::NotFound,
                Err(ManagerError::Closing | ManagerError::StoreAway) => Resolution::Unavailable,
                Err(error) => {
                    info!(session = %id, %error, "session not restored");
                    cluster.release(session, epoch).await;
                    Resolution::Unavailable
                }
            },
            Err(RestoreFailure::Closed) => {
                cluster.close(session, epoch).await;
                Resolution::NotFound
            }
            Err(error @ (RestoreFailure::Away(_) | RestoreFailure::TakenOver)) => {
                info!(session = %id, %error, "session not restored");
                Resolution::Unavailable
            }
            Err(error) => {
                error!(session = %id, %error, "session cannot be restored: it is closed");
                cluster.close(session, epoch).await;
                Resolution::NotFound
            }
        }
    }
}

impl Taker {
    async fn insert(
        &self,
        id: SessionId,
        claim: Claim,
        restored: Restored,
        permit: SessionPermit,
    ) -> Result<(), ManagerError> {
        let Restored { core, principal, initialize, through } = restored;
        let Some(cluster) = &self.manager.cluster else { return Err(ManagerError::StoreAway) };
        let sessions = &self.manager.sessions;
        let owner = sessions.admit(principal, None)?;
        let UnlistedSession { session, permit, owner_permits, client, messages } =
            sessions.create(id, core, permit, owner);
        let Claim { epoch, leases_lost } = claim;
        session.continue_tenure(epoch, through, leases_lost, initialize.clone());
        // The backend is gone: its client gets what it has sent before.
        session.on_backend_lost();
        match cluster.config.takeover {
            Takeover::End => drop(messages),
            Takeover::Reopen => {
                let reopened = self.manager.reopen(&session, &initialize, client, messages).await;
                if let Err(error) = reopened {
                    warn!(session = %id.short(), %error, "no new server for a session");
                }
            }
        }
        sessions.list_restored(&session, permit, owner_permits)?;
        // It was not told if the store was lost meanwhile.
        session.on_store_lost();
        session.on_store_found();
        SessionStore::start(&**cluster, &session, StoreJob::Extend);
        Ok(())
    }
}
