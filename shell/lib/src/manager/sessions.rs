//! The sessions of a manager: creation, limits, draining and closing, without backends.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use rejoin_core::Session;

use super::{ManagerError, reclaim, unopened::UnopenedSession};
use crate::{
    ClientMessages, ClientSender, Principal, SessionHandle, SessionId,
    owner::{Owner, OwnerLimit, OwnerPermits, Owners},
    payload::Payload,
    permits::SessionPermit,
    session::{SessionInner, Shared},
    sync::{
        atomic::{AtomicBool, Ordering},
        spawn, yield_now,
    },
};

/// Number of sessions after which a loop over all of them yields to other tasks.
pub(super) const SESSIONS_PER_YIELD: usize = 64;

/// Sessions that share limits. All are closed when it is dropped.
pub(crate) struct Sessions<P: Payload> {
    shared: Arc<Shared<P>>,
    owners: Owners,
    /// Whether the tasks were spawned.
    has_tasks: AtomicBool,
}

/// A session that was inserted, and the ends for its backend.
#[derive(Debug)]
pub(crate) struct NewSession<P: Payload> {
    pub(crate) session: UnopenedSession<P>,
    pub(crate) client: ClientSender<P>,
    pub(crate) messages: ClientMessages<P>,
}

/// A session that requests do not find yet, and the ends for its backend.
#[derive(Debug)]
pub(crate) struct UnlistedSession<P: Payload> {
    pub(crate) session: Arc<SessionInner<P>>,
    pub(crate) permit: SessionPermit,
    pub(crate) owner_permits: OwnerPermits,
    pub(crate) client: ClientSender<P>,
    pub(crate) messages: ClientMessages<P>,
}

impl<P: Payload> Sessions<P> {
    pub(crate) fn new(shared: Shared<P>) -> Self {
        Self {
            shared: Arc::new(shared),
            owners: Owners::default(),
            has_tasks: AtomicBool::new(false),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<P>> {
        &self.shared
    }

    /// Counts a session for its owner, as far as that is known.
    pub(crate) fn admit(
        &self,
        principal: Option<Principal>,
        peer: Option<IpAddr>,
    ) -> Result<Owner, ManagerError> {
        let config = &self.shared.config;
        let principal = (principal, config.sessions_per_principal_max);
        let owner = self.owners.admit(principal, (peer, config.sessions_per_ip_max));
        owner.map_err(|limit| match limit {
            OwnerLimit::Address(max) => ManagerError::TooManySessionsPerIp(max),
            OwnerLimit::Principal(max) => ManagerError::TooManySessionsPerPrincipal(max),
        })
    }

    /// Waits for the permit of a new session. Must be called in a tokio runtime.
    pub(crate) async fn reserve(&self) -> Result<SessionPermit, ManagerError> {
        let shared = &self.shared;
        if !self.has_tasks.swap(true, Ordering::Relaxed) {
            spawn(Arc::clone(&shared.deadlines).run(shared.clock));
            spawn(reclaim::run(Arc::clone(shared)));
        }
        Ok(shared.registry.reserve(&shared.unused, shared.config.queue_timeout).await?)
    }

    /// Inserts a session. There must be none with that id.
    pub(crate) fn insert(
        &self,
        id: SessionId,
        core: Session<P::Client, P::Server>,
        permit: SessionPermit,
        owner: Owner,
    ) -> Result<NewSession<P>, ManagerError> {
        let unlisted = self.create(id, core, permit, owner);
        let (client, messages) = (unlisted.client, unlisted.messages);
        let session = self.list(unlisted.session, unlisted.permit, unlisted.owner_permits)?;
        Ok(NewSession { session, client, messages })
    }

    /// Creates a session that is not listed yet.
    pub(crate) fn create(
        &self,
        id: SessionId,
        core: Session<P::Client, P::Server>,
        permit: SessionPermit,
        owner: Owner,
    ) -> UnlistedSession<P> {
        let shared = Arc::clone(&self.shared);
        let (session, messages) =
            SessionInner::create(id, core, shared, permit.downgrade(), owner.principal);
        let client = ClientSender::new(id, Arc::downgrade(&session));
        UnlistedSession { session, permit, owner_permits: owner.permits, client, messages }
    }

    /// Lists a session that was restored. It is handed over if the manager closes.
    #[cfg(feature = "store")]
    pub(crate) fn list_restored(
        &self,
        session: &Arc<SessionInner<P>>,
        permit: SessionPermit,
        owner_permits: OwnerPermits,
    ) -> Result<(), ManagerError> {
        let registry = &self.shared.registry;
        registry.insert(Arc::clone(session), permit);
        session.mark_restored(owner_permits);
        if let Some(reason) = session.inspect(Session::close_reason) {
            self.shared.remove(session);
            let is_moved = reason == rejoin_core::SessionCloseReason::Moved;
            return Err(if is_moved { ManagerError::StoreAway } else { ManagerError::NotFound });
        }
        if registry.is_closing() {
            session.shut_down();
            return Err(ManagerError::Closing);
        }
        Ok(())
    }

    /// Lists a session, so that requests find it.
    pub(crate) fn list(
        &self,
        session: Arc<SessionInner<P>>,
        permit: SessionPermit,
        owner_permits: OwnerPermits,
    ) -> Result<UnopenedSession<P>, ManagerError> {
        let shared = &self.shared;
        shared.registry.insert(Arc::clone(&session), permit);
        session.mark_unused(owner_permits);
        if let Some(reason) = session.inspect(Session::close_reason) {
            // It was closed before it was inserted, so that it was not removed.
            shared.remove(&session);
            return Err(ManagerError::ClosedDuringInitialize(reason));
        }
        let session = UnopenedSession::new(SessionHandle::new(session));
        if shared.registry.is_closing() {
            // `close_all` may have run before this session was inserted.
            return Err(ManagerError::Closing);
        }
        Ok(session)
    }

    /// Drains every session, and waits until all are closed. New ones are refused.
    pub(crate) async fn drain(&self, retry: Duration) {
        let shared = &self.shared;
        shared.registry.begin_closing();
        for (number, session) in shared.registry.all().into_iter().enumerate() {
            session.drain(retry);
            if (number + 1).is_multiple_of(SESSIONS_PER_YIELD) {
                yield_now().await;
            }
        }
        self.closed().await;
    }

    /// Waits until there is no session.
    pub(crate) async fn closed(&self) {
        let shared = &self.shared;
        shared.drain.start();
        while shared.registry.len() > 0 {
            shared.drain.next_removal().await;
        }
    }

    /// Closes all sessions for a shutdown, and refuses new ones.
    pub(crate) fn close_all(&self) {
        self.shared.registry.begin_closing();
        for session in self.shared.registry.all() {
            session.shut_down();
        }
    }
}

impl<P: Payload> Drop for Sessions<P> {
    fn drop(&mut self) {
        self.close_all();
        self.shared.deadlines.stop();
        self.shared.kept_memory.stop();
    }
}

impl<P: Payload> fmt::Debug for Sessions<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
