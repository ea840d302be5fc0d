//! A limit on how many children are started in a second.

use std::{num::NonZeroU32, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::Overloaded;

/// How long a start waits for its turn. Those that would have to wait longer are refused.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A token bucket: as many as are allowed in a second may start at once, and then one after
/// the other.
///
/// It is kept as the time at which the bucket is full again, as in the generic cell rate
/// algorithm.
pub(super) struct Throttle {
    per_second: Option<NonZeroU32>,
    full_at: Mutex<Instant>,
}

impl Throttle {
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, full_at: Mutex::new(Instant::now()) }
    }

    /// Waits until something may be started. Cancel-safe, but for the turn that is lost.
    pub(super) async fn acquire(&self) -> Result<(), Overloaded> {
        let Some(per_second) = self.per_second else { return Ok(()) };
        let now = Instant::now();
        let wait = {
            let mut full = self.full_at.lock();
            let next = (*full).max(now) + Duration::from_secs(1) / per_second.get();
            let wait = next.duration_since(now).saturating_sub(Duration::from_secs(1));
            let retry_after = wait.saturating_sub(WAIT_MAX);
            if !retry_after.is_zero() {
                return Err(Overloaded { retry_after });
            }
            *full = next;
            wait
        };
        sleep_until(now + wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn starts_come_at_once_then_one_by_one_and_are_refused_at_last() {
        let throttle = Throttle::new(NonZeroU32::new(4));
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        for _ in 0..4 {
            throttle.acquire().await.unwrap();
        }
        assert_eq!(Instant::now(), begun);
        throttle.acquire().await.unwrap();
        assert!(Instant::now() >= after(250) && Instant::now() < after(300));
        // 20 wait at a time, since they wait for 5 s at most.
        for _ in 0..20 {
            assert!(timeout(Duration::ZERO, throttle.acquire()).await.is_err());
        }
        let refused = throttle.acquire().await.unwrap_err();
        assert_eq!(refused.seconds(), 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        throttle.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        let throttle = Throttle::new(None);
        for _ in 0..100_000 {
            throttle.acquire().await.unwrap();
        }
    }
}
