//! Rate limit for starting children.

use std::{num::NonZeroU32, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::Overloaded;

/// Maximum time that a start waits for the rate limit. A start that would wait longer fails.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A token bucket whose capacity is the number of starts per second.
///
/// The state is the time at which the bucket will be full again, as in the generic cell rate
/// algorithm.
pub(super) struct Throttle {
    per_second: Option<NonZeroU32>,
    full_at: Mutex<Instant>,
}

impl Throttle {
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, full_at: Mutex::new(Instant::now()) }
    }

    /// Waits for a token. If cancelled, the token is lost.
    ///
    /// # Errors
    ///
    /// The wait would be longer than [`WAIT_MAX`].
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
    async fn starts_burst_then_wait_then_fail() {
        let throttle = Throttle::new(NonZeroU32::new(4));
        let started = Instant::now();
        let after = |millis| started + Duration::from_millis(millis);
        for _ in 0..4 {
            throttle.acquire().await.unwrap();
        }
        assert_eq!(Instant::now(), started);
        throttle.acquire().await.unwrap();
        assert!(Instant::now() >= after(250) && Instant::now() < after(300));
        // At most 20 wait at a time: 5 s at 4 per second.
        for _ in 0..20 {
            assert!(timeout(Duration::ZERO, throttle.acquire()).await.is_err());
        }
        let error = throttle.acquire().await.unwrap_err();
        assert_eq!(error.seconds(), 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        throttle.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn no_limit_means_no_wait() {
        let throttle = Throttle::new(None);
        for _ in 0..100_000 {
            throttle.acquire().await.unwrap();
        }
    }
}
