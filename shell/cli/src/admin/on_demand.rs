//! A value that is made as long as somebody needs it, and once for all who do.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The value. A clone is the same.
#[derive(Debug)]
pub(super) struct OnDemand<T>(Arc<Mutex<Weak<Shared<T>>>>);

/// What those who need the value share. It is dropped with the last of them.
#[derive(Debug)]
pub(super) struct Shared<T>(tokio::sync::Mutex<Option<Made<T>>>);

/// The value, and when it was made.
#[derive(Debug)]
pub(super) struct Made<T> {
    pub(super) value: Arc<T>,
    at: Instant,
}

/// How long a value is used before the next one is made.
const INTERVAL: Duration = Duration::from_secs(1);

impl<T> OnDemand<T> {
    /// Returns what the others share, to be held as long as values are needed.
    pub(super) fn share(&self) -> Arc<Shared<T>> {
        let mut shared = self.0.lock();
        shared.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Shared(tokio::sync::Mutex::new(None)));
            *shared = Arc::downgrade(&new);
            new
        })
    }
}

impl<T> Shared<T> {
    /// Returns the last value, or makes the next one if that is due.
    pub(super) async fn latest(&self, make: impl FnOnce() -> T) -> Made<T> {
        let mut last = self.0.lock().await;
        if let Some(made) = &*last
            && made.at.elapsed() < INTERVAL
        {
            return made.clone();
        }
        let at = Instant::now();
        let next = Made { value: Arc::new(make()), at };
        *last = Some(next.clone());
        next
    }
}

impl<T> Made<T> {
    /// Returns when the next value is due.
    pub(super) fn next_at(&self) -> Instant {
        self.at + INTERVAL
    }
}

impl<T> Default for OnDemand<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Weak::new())))
    }
}

impl<T> Clone for OnDemand<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Made<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{task::JoinSet, time::sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_made_once_per_interval_for_all() {
        let (values, made) = (OnDemand::default(), Arc::new(AtomicUsize::new(0)));
        let mut users = JoinSet::new();
        for user in 0..32 {
            let (values, made) = (values.clone(), Arc::clone(&made));
            users.spawn(async move {
                // They begin at different times.
                tokio::time::sleep(Duration::from_millis(30 * user)).await;
                let shared = values.share();
                for _ in 0..10 {
                    let latest = shared.latest(|| made.fetch_add(1, Ordering::Relaxed)).await;
                    sleep_until(latest.next_at()).await;
                }
            });
        }
        users.join_all().await;
        assert_eq!(made.load(Ordering::Relaxed), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_when_nobody_needs_it() {
        let values = OnDemand::default();
        let (one, other) = (values.share(), values.share());
        let value = one.latest(|| "value").await.value;
        assert!(Arc::ptr_eq(&value, &other.latest(|| "another").await.value));
        drop((one, other));
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(*values.share().latest(|| "another").await.value, "another");
    }
}
