//! Reclaim of memory from the sessions that keep the most, when others get less than they need.

use std::{
    cmp::Reverse,
    collections::HashSet,
    mem,
    sync::{Arc, Weak},
    time::Duration,
};

use rejoin_core::Session;

use super::sessions::SESSIONS_PER_YIELD;
use crate::{
    log,
    payload::Payload,
    session::{SessionInner, Shared},
    sync::yield_now,
};

/// Minimum time between two passes over all sessions.
const INTERVAL: Duration = Duration::from_millis(50);

/// The sessions that have limits because memory is short.
struct Limits<P: Payload> {
    sessions: Vec<Weak<SessionInner<P>>>,
    /// Whether memory had to be reclaimed in the last pass.
    is_short: bool,
}

/// Reclaims memory when it is short, and raises limits when it is not, until the manager is dropped.
pub(super) async fn run<P: Payload>(shared: Arc<Shared<P>>) {
    let Shared { kept_memory: memory, clock, .. } = &*shared;
    let passes = async {
        let mut limits = Limits { sessions: Vec::new(), is_short: false };
        loop {
            memory.changed().await;
            limits.update(&shared).await;
            clock.sleep_until(clock.now().saturating_add(INTERVAL)).await;
        }
    };
    tokio::select! {
        // `biased` avoids randomness.
        biased;
        () = memory.stopped() => {}
        () = passes => {}
    }
}

impl<P: Payload> Limits<P> {
    /// Makes one pass over the sessions.
    async fn update(&mut self, shared: &Shared<P>) {
        let memory = &shared.kept_memory;
        // Also for those that were not released because of others, which then did not use it.
        drop(memory.release_waiters());
        let excess = memory.excess();
        let was_short = mem::replace(&mut self.is_short, excess > 0);
        let mut lowered = HashSet::new();
        if self.is_short {
            let (above, level) = above_level(shared.registry.all(), excess).await;
            if !was_short {
                log::reclaims_memory(above.len(), excess, level);
            }
            for session in above {
                session.limit_kept(level);
                lowered.insert(session.id());
                yield_now().await;
            }
        }
        self.sessions.extend(shared.take_newly_limited());
        let known = self.sessions.len();
        let mut limited = Vec::with_capacity(known);
        for session in mem::take(&mut self.sessions) {
            let Some(strong) = session.upgrade() else { continue };
            if lowered.contains(&strong.id()) || strong.raise_kept_limit() {
                limited.push(session);
            }
            yield_now().await;
        }
        memory.remove_limited(known - limited.len());
        self.sessions = limited;
    }
}

/// Returns the sessions that keep the most, and the level to which their limits have to be lowered
/// so that they keep `excess` bytes less. What their readers await leaves them only when it was
/// received.
async fn above_level<P: Payload>(
    sessions: Vec<Arc<SessionInner<P>>>,
    excess: usize,
) -> (Vec<Arc<SessionInner<P>>>, usize) {
    let mut kept = Vec::with_capacity(sessions.len());
    for (number, session) in sessions.into_iter().enumerate() {
        kept.push((session.inspect(Session::kept_bytes), session));
        if (number + 1).is_multiple_of(SESSIONS_PER_YIELD) {
            yield_now().await;
        }
    }
    kept.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
    let level = level(kept.iter().map(|(bytes, _)| *bytes), excess);
    let above = kept.into_iter().take_while(|(bytes, _)| *bytes > level);
    (above.map(|(_, session)| session).collect(), level)
}

/// Returns the level to which the largest amounts have to be lowered to free `excess` bytes.
/// `kept` is in descending order.
fn level(kept: impl Iterator<Item = usize> + Clone, excess: usize) -> usize {
    let mut sum = 0_usize;
    let next = kept.clone().skip(1).chain([0]);
    for (number, (kept, next)) in kept.zip(next).enumerate() {
        let lowered = number + 1;
        sum = sum.saturating_add(kept);
        if sum.saturating_sub(next.saturating_mul(lowered)) >= excess {
            return (sum - excess) / lowered;
        }
    }
    0
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;

    #[test]
    fn level_frees_the_excess_from_the_largest() {
        let level = |kept: &[usize], excess| level(kept.iter().copied(), excess);
        assert_eq!(level(&[], 1), 0);
        assert_eq!(level(&[100], 30), 70);
        assert_eq!(level(&[100, 80, 10], 20), 80);
        assert_eq!(level(&[100, 80, 10], 40), 70);
        assert_eq!(level(&[100, 80, 10], 41), 69, "rounded down");
        assert_eq!(level(&[100, 80, 10], 160), 10);
        assert_eq!(level(&[100, 80, 10], 190), 0);
        assert_eq!(level(&[100, 80, 10], 1_000), 0);
    }
}
