//! Sessions of other processes, which this one takes over.

use std::{sync::Arc, time::Duration};

use tracing::{error, info, warn};

use super::{Found, Inner, ManagerError, SessionManager, sessions::UnlistedSession};
use crate::{
    Principal, SessionEvent, SessionHandle, SessionId, clock,
    cluster::{Cluster, Resolution, RestoreFailure, Restored, TakeOver},
    store::Takeover,
};

/// Time that a request waits for a session that may be another process's.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(1);

/// Time between looks meanwhile.
const DOUBT_INTERVAL: Duration = Duration::from_millis(20);

impl SessionManager {
    /// Finds a session that this process has, or takes over, or that another one has.
    pub(super) async fn find_in_cluster(
        &self,
        cluster: &Arc<Cluster>,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<Found, ManagerError> {
        self.wait_for_lease(cluster).await?;
        if self.shared().registry.find(id).is_none() {
            #[cfg(feature = "cluster")]
            if let Some(link) = cluster.known_owner(id) {
                return Ok(Found::There(link));
            }
            if self.shared().registry.is_closing() {
                return Err(ManagerError::Closing);
            }
            let takes_over = Taker(Arc::clone(&self.inner));
            match cluster.resolve(id, self.shared().clock, takes_over).await {
                Resolution::Here => {}
                #[cfg(feature = "cluster")]
                Resolution::There => {
                    let link = cluster.known_owner(id);
                    return link.map(Found::There).ok_or(ManagerError::StoreAway);
                }
                Resolution::NotFound => return Err(ManagerError::NotFound),
                Resolution::Unavailable => return Err(ManagerError::StoreAway),
            }
        }
        self.certain_session(principal, id).await.map(Found::Here)
    }

    /// Returns a session of this process, once it is certain that no other one has it.
    pub(super) async fn certain_session(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<SessionHandle, ManagerError> {
        let session = self.session_of(principal, id)?;
        let certain = async {
            while session.inner().is_in_doubt() {
                tokio::time::sleep(DOUBT_INTERVAL).await;
            }
        };
        let waited = clock::timeout(DOUBT_TIMEOUT, certain).await;
        waited.map(|()| session).map_err(|_| ManagerError::StoreAway)
    }

    /// Waits a little for the lease of this process.
    pub(super) async fn wait_for_lease(&self, cluster: &Arc<Cluster>) -> Result<(), ManagerError> {
        let shared = self.shared();
        cluster.start(shared);
        let resumed = cluster.lease_resumed();
        if cluster.has_lease(shared.clock.now()) {
            return Ok(());
        }
        let resumed = clock::timeout(DOUBT_TIMEOUT, resumed).await;
        resumed.map_err(|_| ManagerError::StoreAway)
    }
}

/// Waits until the store knows the end of a session.
pub(super) async fn ended(session: &SessionHandle) -> Result<(), ManagerError> {
    let Some(ended) = session.inner().end_in_store() else { return Ok(()) };
    let ended = clock::timeout(DOUBT_TIMEOUT, ended).await;
    // An error of the channel means that the session was dropped with the manager.
    ended.map(drop).map_err(|_| ManagerError::StoreAway)
}

/// Takes sessions over for a manager.
struct Taker(Arc<Inner>);

impl TakeOver for Taker {
    async fn take_over(&self, session: SessionId, epoch: u64) -> Resolution {
        let Some(cluster) = &self.0.cluster else { return Resolution::Unavailable };
        let shared = self.0.sessions.shared();
        let now = shared.clock.now();
        let restored = cluster.restore(session, shared.session_config.clone(), now).await;
        let id = session.short();
        match restored {
            Ok(restored) => match self.insert(session, epoch, restored).await {
                Ok(()) => {
                    let event = SessionEvent::Restored { epoch };
                    shared.observers.on_session_event(session, &event);
                    Resolution::Here
                }
                Err(error) => {
                    info!(session = %id, %error, "session not restored");
                    Resolution::Unavailable
                }
            },
            Err(RestoreFailure::Away(error)) => {
                info!(session = %id, %error, "session not restored");
                Resolution::Unavailable
            }
            Err(error) => {
                error!(session = %id, %error, "session cannot be restored: it is closed");
                cluster.close_damaged(session, epoch).await;
                Resolution::NotFound
            }
        }
    }
}

impl Taker {
    async fn insert(
        &self,
        id: SessionId,
        epoch: u64,
        restored: Restored,
    ) -> Result<(), ManagerError> {
        let Restored { core, principal, initialize } = restored;
        let Some(cluster) = &self.0.cluster else { return Err(ManagerError::StoreAway) };
        let sessions = &self.0.sessions;
        let owner = sessions.admit(principal, None)?;
        let permit = sessions.reserve().await?;
        let UnlistedSession { session, permit, owner_permits, client, messages } =
            sessions.create(id, core, permit, owner);
        session.continue_tenure(epoch, initialize.clone());
        // The backend is gone: its client gets what it has sent before.
        session.on_backend_lost();
        match cluster.config.takeover {
            Takeover::End => drop(messages),
            Takeover::Reopen => {
                let reopened = self.0.reopen(&session, &initialize, client, messages).await;
                if let Err(error) = reopened {
                    warn!(session = %id.short(), %error, "no new server for a session");
                }
            }
        }
        sessions.list(Arc::clone(&session), permit, owner_permits)?.into_opened();
        session.mark_restored();
        Ok(())
    }
}
