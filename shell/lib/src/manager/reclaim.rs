//! Reclaim of memory from the sessions that keep the most, when others get less than they need.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use rejoin_core::Session;

use super::SESSIONS_PER_YIELD;
use crate::{
    log,
    session::{SessionInner, Shared},
    sync::yield_now,
};

/// Minimum time between two passes over all sessions.
const INTERVAL: Duration = Duration::from_millis(50);

/// Reclaims memory whenever there is a shortage, until the manager is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let Shared { kept_memory: memory, registry, clock, .. } = &*shared;
    let passes = async {
        loop {
            memory.shortage().await;
            let excess = memory.excess();
            if excess > 0 {
                reclaim(registry.all(), excess).await;
            }
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

/// Lowers the limits of the sessions that keep the most to one level, so that they keep `excess`
/// bytes less. What their readers await leaves them only when it was received.
async fn reclaim(sessions: Vec<Arc<SessionInner>>, excess: usize) {
    let mut kept = Vec::with_capacity(sessions.len());
    for (number, session) in sessions.into_iter().enumerate() {
        kept.push((session.inspect(Session::kept_bytes), session));
        yield_between_sessions(number).await;
    }
    kept.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
    let level = level(kept.iter().map(|(bytes, _)| *bytes), excess);
    let above: Vec<_> = kept.into_iter().take_while(|(bytes, _)| *bytes > level).collect();
    log::reclaims_memory(above.len(), excess, level);
    for (number, (_, session)) in above.into_iter().enumerate() {
        session.limit_kept(level);
        yield_between_sessions(number).await;
    }
}

async fn yield_between_sessions(number: usize) {
    if (number + 1).is_multiple_of(SESSIONS_PER_YIELD) {
        yield_now().await;
    }
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
