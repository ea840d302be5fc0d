//! Resolution of sessions that this process does not have: one at a time for each session, which all
//! requests for it wait for.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rejoin_core::cluster::{
    ClaimOutcome, Claimable, EntryId, NodeId, OwnerLease, Resolve, ResolveAction, SessionStatus,
    StoreId,
};
use tokio::sync::{SemaphorePermit, watch};
use tracing::error;

#[cfg(feature = "cluster")]
use super::links::Reached;
use super::{
    Cluster,
    entry::{self, Entry, EntryError, Kind},
};
use crate::{
    SessionId,
    clock::Clock,
    session::SessionStore,
    store::{self, LastEntry, Outcome, StoreKey, Write},
};

/// Maximum number of resolutions at a time. Requests for other sessions are refused.
const RESOLUTIONS_MAX: usize = 4_096;

/// The resolutions in progress.
#[derive(Debug, Default)]
pub(super) struct Resolutions(Mutex<HashMap<SessionId, watch::Receiver<Option<Resolution>>>>);

/// Removes a resolution from those in progress when it ends, even by a panic.
struct ResolutionEntry<'a> {
    cluster: &'a Cluster,
    session: SessionId,
}

impl Drop for ResolutionEntry<'_> {
    fn drop(&mut self) {
        self.cluster.resolutions.0.lock().remove(&self.session);
    }
}

/// What became of a resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// This process has the session now.
    Here,
    /// Another process has it, to which requests are passed on.
    #[cfg(feature = "cluster")]
    There,
    /// The session does not exist.
    NotFound,
    /// Who has the session is not known now.
    Unavailable,
}

/// A session that this process has claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The epoch in which it is this process's own.
    pub(crate) epoch: u64,
    /// How often the lease of this process had expired before.
    pub(crate) leases_lost: u64,
}

/// What this process has to do for a session that it has claimed.
pub(crate) trait TakeOver: Send + Sync + 'static {
    /// The permit of a session that is taken over.
    type Permit: Send;

    /// Returns whether this process has the session.
    fn has(&self, session: SessionId) -> bool;

    /// Waits for the permit of a session; `None` if this process has no room for it.
    fn reserve(&self) -> impl Future<Output = Option<Self::Permit>> + Send;

    /// Restores the session from its log in the store.
    fn take_over(
        &self,
        session: SessionId,
        claim: Claim,
        permit: Self::Permit,
    ) -> impl Future<Output = Resolution> + Send;
}

impl Cluster {
    /// Finds out who has a session that this process does not have, and takes it over if nobody has.
    ///
    /// It goes on if the future is dropped: a session that was claimed must be restored.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        session: SessionId,
        clock: Clock,
        takes_over: impl TakeOver,
    ) -> Resolution {
        let mut outcome = {
            let mut resolutions = self.resolutions.0.lock();
            match resolutions.get(&session) {
                Some(outcome) => outcome.clone(),
                None if resolutions.len() >= RESOLUTIONS_MAX => return Resolution::Unavailable,
                None => {
                    let (sender, outcome) = watch::channel(None);
                    resolutions.insert(session, outcome.clone());
                    let cluster = Arc::clone(self);
                    tokio::spawn(async move {
                        let _entry = ResolutionEntry { cluster: &cluster, session };
                        let resolved = cluster.run(session, clock, takes_over).await;
                        sender.send_replace(Some(resolved));
                    });
                    outcome
                }
            }
        };
        let resolved = outcome.wait_for(Option::is_some).await;
        resolved.ok().and_then(|resolved| *resolved).unwrap_or(Resolution::Unavailable)
    }

    async fn run(&self, session: SessionId, clock: Clock, takes_over: impl TakeOver) -> Resolution {
        if takes_over.has(session) {
            // It was restored after the request had looked for it.
            return Resolution::Here;
        }
        let key = StoreKey::of(session);
        let (mut resolve, mut action) = Resolve::begin(self.node, clock.now());
        let (mut place, mut leases_lost) = (None, 0);
        #[cfg(feature = "cluster")]
        let mut address = std::sync::Arc::from("");
        loop {
            let next = match action {
                ResolveAction::AskStore => match self.store.last(key).await {
                    Ok(LastEntry { entry, store }) => {
                        let forgets = self.may_have_forgotten(store, clock);
                        resolve.on_last_entry(entry.as_ref().map(claimable), forgets)
                    }
                    Err(_) => resolve.on_disconnect(),
                },
                ResolveAction::AskLease(owner) => match self.store.lease(owner).await {
                    Ok(lease) => {
                        let now = clock.now();
                        let may_take_over = self.state.lock().lease.may_take_over(now);
                        #[cfg(feature = "cluster")]
                        if let Some(lease) = &lease {
                            address = std::sync::Arc::clone(&lease.address);
                        }
                        let lease = lease.map(|lease| OwnerLease { expires_in: lease.expires_in });
                        resolve.on_lease(lease, may_take_over, now)
                    }
                    Err(_) => resolve.on_disconnect(),
                },
                #[cfg(feature = "cluster")]
                ResolveAction::Forward(owner) => {
                    match self.reach_owner(session, owner, &address).await {
                        Reached::Owner => return Resolution::There,
                        Reached::Other => resolve.on_not_forwarded(true, clock.now()),
                        Reached::Nobody => resolve.on_not_forwarded(false, clock.now()),
                    }
                }
                #[cfg(not(feature = "cluster"))]
                ResolveAction::Forward(_) => resolve.on_not_forwarded(false, clock.now()),
                // Before it is claimed: a session that there is no room for stays with the others.
                ResolveAction::Claim { .. } if place.is_none() => {
                    let Some(reserved) = self.reserve(&takes_over).await else {
                        return Resolution::Unavailable;
                    };
                    place = Some(reserved);
                    resolve.tick(clock.now()).or(Some(action))
                }
                ResolveAction::Claim { epoch } => {
                    leases_lost = self.leases_lost();
                    match self.claim(key, epoch).await {
                        Some(ClaimOutcome::Claimed) => resolve.on_claim(ClaimOutcome::Claimed),
                        Some(outcome) => {
                            place = None;
                            resolve.on_claim(outcome)
                        }
                        None => resolve.on_disconnect(),
                    }
                }
                ResolveAction::Restore { epoch } => {
                    let Some((_takeover, permit)) = place else { return Resolution::Unavailable };
                    let claim = Claim { epoch, leases_lost };
                    let taken = AssertUnwindSafe(takes_over.take_over(session, claim, permit));
                    let Ok(resolution) = taken.catch_unwind().await else {
                        error!(session = %session.short(), "a restoration has panicked: the session is closed");
                        self.close(session, epoch).await;
                        return Resolution::NotFound;
                    };
                    return resolution;
                }
                ResolveAction::Wait => {
                    if let Some(deadline) = resolve.deadline() {
                        clock.sleep_until(deadline).await;
                    }
                    resolve.tick(clock.now())
                }
                ResolveAction::NotFound => return Resolution::NotFound,
                ResolveAction::Unavailable => return Resolution::Unavailable,
            };
            match next.or_else(|| resolve.tick(clock.now())) {
                Some(next) => action = next,
                None => return Resolution::Unavailable,
            }
        }
    }

    /// Waits for a place for a session that is taken over; `None` if there is none.
    async fn reserve<T: TakeOver>(
        &self,
        takes_over: &T,
    ) -> Option<(SemaphorePermit<'_>, T::Permit)> {
        Some((self.takeovers.acquire().await.ok()?, takes_over.reserve().await?))
    }

    async fn claim(&self, key: StoreKey, epoch: u64) -> Option<ClaimOutcome> {
        let (id, entry) =
            (EntryId { epoch, number: 0 }, entry::write(Kind::Claimed, self.node, &[]));
        match self.store.write(Write::Append { key, id, entry }).await.ok()? {
            Outcome::Written | Outcome::Expired => Some(ClaimOutcome::Claimed),
            Outcome::Refused => Some(ClaimOutcome::Refused),
            Outcome::Missing => Some(ClaimOutcome::Missing),
            Outcome::Full => None,
        }
    }

    /// Returns whether a session that the store does not have may exist: its owner writes it again
    /// after the store has forgotten everything.
    fn may_have_forgotten(&self, store: Option<StoreId>, clock: Clock) -> bool {
        let state = self.state.lock();
        let Some((known, since)) = state.store else { return true };
        let grace = self.config.lease.ttl.saturating_mul(2);
        store != Some(known) || clock.now() < since.saturating_add(grace)
    }
}

fn claimable(last: &store::Entry) -> Claimable {
    let (owner, status) = match Entry::read(&last.bytes) {
        Ok(Entry { node, kind, .. }) => (
            node,
            match kind {
                Kind::Whole | Kind::Records | Kind::Claimed => SessionStatus::Owned,
                Kind::Released => SessionStatus::Released,
                Kind::Closed => SessionStatus::Closed,
            },
        ),
        Err(EntryError::Format | EntryError::Invalid(_)) => (NodeId(0), SessionStatus::Unreadable),
    };
    Claimable { id: last.id, owner, status }
}
