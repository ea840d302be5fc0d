//! The keys of an issuer, which are fetched again when they are old or when one is missing.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{jwk::KeySet, source::KeySource, token::KeyHint};
use crate::auth::reason::Reason;

/// Age at which keys are fetched again.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// Age at which keys that could not be fetched again are not used any more.
const STALE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Fetches keys.
pub(super) trait Source: Send + Sync + 'static {
    fn fetch(&self) -> impl Future<Output = anyhow::Result<KeySet>> + Send;
}

impl Source for KeySource {
    fn fetch(&self) -> impl Future<Output = anyhow::Result<KeySet>> + Send {
        Self::fetch(self)
    }
}

/// The keys that were fetched last.
#[derive(Debug)]
pub(super) struct KeyCache<S = KeySource> {
    source: S,
    /// Minimum time between two fetches.
    interval: Duration,
    state: Mutex<State>,
    /// Held during a fetch, so that there is one at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried_at: Option<Instant>,
}

impl<S: Source> KeyCache<S> {
    pub(super) fn new(source: S, interval: Duration) -> Self {
        Self { source, interval, state: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// Returns keys that have the one of a token, if there are any. Fetches them again, at most
    /// once per interval, if they do not have it or are old. Must be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// The key is unknown, or no keys are available.
    pub(super) async fn keys_for(self: &Arc<Self>, hint: &KeyHint) -> Result<Arc<KeySet>, Reason> {
        let before = Instant::now();
        if let Some((keys, age)) = self.current()
            && has(&keys, hint)
        {
            if age >= FRESH && self.may_fetch() {
                let this = Arc::clone(self);
                tokio::spawn(async move { this.fetch_unless_tried_since(before).await });
            }
            return Ok(keys);
        }
        // In its own task, so that a client that leaves does not stop it.
        let this = Arc::clone(self);
        let fetch = tokio::spawn(async move { this.fetch_unless_tried_since(before).await });
        // An error means that the program ends.
        let _ = fetch.await;
        let (keys, _) = self.current().ok_or(Reason::KeysUnavailable)?;
        Ok(keys)
    }

    /// Fetches the keys, unless another task has done so since, or in the last interval.
    pub(super) async fn fetch_unless_tried_since(&self, since: Instant) {
        let _fetching = self.fetching.lock().await;
        if self.state.lock().tried_at.is_some_and(|at| at >= since) || !self.may_fetch() {
            return;
        }
        // Also if this future is dropped meanwhile.
        self.state.lock().tried_at = Some(Instant::now());
        let fetched = self.source.fetch().await;
        let mut state = self.state.lock();
        state.tried_at = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "keys of the issuer fetched");
                state.keys = Some((Arc::new(keys), Instant::now()));
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "cannot fetch the keys of the issuer");
            }
        }
    }

    fn may_fetch(&self) -> bool {
        self.state.lock().tried_at.is_none_or(|at| at.elapsed() >= self.interval)
    }

    /// Returns the keys and their age, unless they are too old.
    fn current(&self) -> Option<(Arc<KeySet>, Duration)> {
        let state = self.state.lock();
        let (keys, at) = state.keys.as_ref()?;
        let age = at.elapsed();
        (age < STALE_MAX).then(|| (Arc::clone(keys), age))
    }
}

/// Returns whether the keys have the one of a token, for its algorithm or not.
fn has(keys: &KeySet, hint: &KeyHint) -> bool {
    keys.find(hint.id.as_deref(), hint.algorithm).err() != Some(Reason::KeyId)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jsonwebtoken::Algorithm;
    use tokio::time::advance;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// An issuer whose key has an id, or which cannot be reached.
    #[derive(Default)]
    struct Issuer {
        key: Mutex<Option<&'static str>>,
        fetches: AtomicUsize,
    }

    impl Source for Arc<Issuer> {
        async fn fetch(&self) -> anyhow::Result<KeySet> {
            self.fetches.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let id = self.key.lock().ok_or_else(|| anyhow::anyhow!("outage"))?;
            let x = "A".repeat(43);
            let json =
                format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{x}"}}]}}"#);
            Ok(KeySet::parse(json.as_bytes())?)
        }
    }

    fn cache(key: Option<&'static str>) -> (Arc<Issuer>, Arc<KeyCache<Arc<Issuer>>>) {
        let issuer = Arc::new(Issuer { key: Mutex::new(key), ..Issuer::default() });
        (Arc::clone(&issuer), Arc::new(KeyCache::new(issuer, INTERVAL)))
    }

    async fn find(cache: &Arc<KeyCache<Arc<Issuer>>>, id: &str) -> Result<(), Reason> {
        let hint = KeyHint { id: Some(id.to_owned()), algorithm: Algorithm::EdDSA };
        let keys = cache.keys_for(&hint).await?;
        keys.find(Some(id), Algorithm::EdDSA).map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_fetched_once_for_all_and_again_for_an_unknown_key() {
        let (issuer, cache) = cache(Some("a"));
        let (first, second) = tokio::join!(find(&cache, "a"), find(&cache, "a"));
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(issuer.fetches.load(Ordering::Relaxed), 1);
        *issuer.key.lock() = Some("b");
        for _ in 0..100 {
            assert_eq!(find(&cache, "b").await, Err(Reason::KeyId));
        }
        assert_eq!(issuer.fetches.load(Ordering::Relaxed), 1, "at most once per interval");
        advance(INTERVAL).await;
        assert_eq!(find(&cache, "b").await, Ok(()));
        assert_eq!(find(&cache, "a").await, Err(Reason::KeyId), "rotated");
        assert_eq!(issuer.fetches.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_does_not_stop_the_fetch() {
        let (issuer, cache) = cache(Some("a"));
        let left = tokio::time::timeout(Duration::ZERO, find(&cache, "a")).await;
        assert!(left.is_err());
        assert_eq!(find(&cache, "a").await, Ok(()));
        assert_eq!(issuer.fetches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_stay_valid_for_a_day_during_an_outage() {
        let (issuer, cache) = cache(None);
        assert_eq!(find(&cache, "a").await, Err(Reason::KeysUnavailable));
        *issuer.key.lock() = Some("a");
        assert_eq!(find(&cache, "a").await, Err(Reason::KeysUnavailable));
        advance(INTERVAL).await;
        assert_eq!(find(&cache, "a").await, Ok(()));
        *issuer.key.lock() = None;
        advance(STALE_MAX.saturating_sub(SECOND)).await;
        assert_eq!(find(&cache, "a").await, Ok(()));
        advance(SECOND).await;
        assert_eq!(find(&cache, "a").await, Err(Reason::KeysUnavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn old_keys_are_fetched_again_in_the_background() {
        let (issuer, cache) = cache(Some("a"));
        assert_eq!(find(&cache, "a").await, Ok(()));
        *issuer.key.lock() = Some("b");
        advance(FRESH).await;
        assert_eq!(find(&cache, "a").await, Ok(()));
        while issuer.fetches.load(Ordering::Relaxed) < 2 || find(&cache, "a").await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(find(&cache, "b").await, Ok(()));
    }
}
