//! Memory limit of what all sessions keep for their clients.
//!
//! A session may keep as much as it leaves free: one that keeps much gets nothing more long before
//! the memory is exhausted, and the others do not notice it. If sessions that are then idle have
//! used most of the memory, they are told to give it back, see `manager/reclaim.rs`.

use std::sync::Arc;

use rejoin_core::EVENT_OVERHEAD_BYTES;

use crate::{
    SessionId,
    sync::{
        Mutex, Notify,
        atomic::{AtomicUsize, Ordering},
        oneshot,
    },
};

/// The memory for what all sessions keep: the sum of their kept bytes, as their cores count them.
#[derive(Debug)]
pub(crate) struct KeptMemory {
    bytes_max: usize,
    used: AtomicUsize,
    /// Senders of sessions that keep nothing, and whose next event does not fit: one for each.
    waiters: Mutex<Vec<Waiter>>,
    /// The number of waiters.
    waiting: AtomicUsize,
    /// Notified when a session gets less memory than it needs.
    shortage: Notify,
    /// Notified when nothing is to be reclaimed any more.
    stop: Notify,
}

#[derive(Debug)]
struct Waiter {
    session: SessionId,
    bytes: usize,
    released: oneshot::Sender<()>,
}

/// The part of the memory that a session uses. It is released on drop.
#[derive(Debug)]
pub(crate) struct KeptShare {
    memory: Arc<KeptMemory>,
    bytes: usize,
}

impl KeptMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (used, waiting) = Default::default();
        let (waiters, shortage, stop) = Default::default();
        Self { bytes_max, used, waiters, waiting, shortage, stop }
    }

    /// Returns how many bytes should be reclaimed: a quarter of the memory should be free, and
    /// enough for the largest event that waits.
    pub(crate) fn excess(&self) -> usize {
        let free_min = (self.bytes_max / 4).max(self.largest_waiter().unwrap_or(0));
        self.used().saturating_sub(self.bytes_max.saturating_sub(free_min))
    }

    /// Waits until a session gets less memory than it needs, unless that has happened since the
    /// last call, or an event still waits: what was reclaimed for it may have gone to others.
    pub(crate) async fn shortage(&self) {
        if self.largest_waiter().is_none() {
            self.shortage.notified().await;
        }
    }

    /// Reports that a session gets less memory than it needs.
    pub(crate) fn report_shortage(&self) {
        self.shortage.notify_one();
    }

    /// Stops the task that reclaims memory.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    pub(crate) async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// Returns the size of the largest event that waits.
    fn largest_waiter(&self) -> Option<usize> {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let waiters = self.waiters.lock();
        let waiting = waiters.iter().filter(|waiter| !waiter.released.is_closed());
        waiting.map(|waiter| waiter.bytes).max()
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    fn free(&self) -> usize {
        self.bytes_max.saturating_sub(self.used())
    }

    /// Adds bytes if `fits` returns `true` for those in use. Returns whether they were added.
    fn add_if(&self, bytes: usize, fits: impl Fn(usize) -> bool) -> bool {
        let add = |used: usize| fits(used).then(|| used.saturating_add(bytes));
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
    }

    /// Releases the waiters whose events fit: first those that have waited for longer. A small
    /// event does not wait behind a large one. Returns their senders, to be dropped.
    fn release_waiters(&self) -> Vec<oneshot::Sender<()>> {
        let mut free = self.free();
        if self.waiting.load(Ordering::SeqCst) == 0 || free < EVENT_OVERHEAD_BYTES {
            return Vec::new();
        }
        self.remove_waiters(|waiter| {
            let fits = waiter.bytes <= free;
            if fits {
                free -= waiter.bytes;
            }
            fits
        })
    }

    fn remove_waiters(
        &self,
        mut is_removed: impl FnMut(&Waiter) -> bool,
    ) -> Vec<oneshot::Sender<()>> {
        let mut removed = Vec::new();
        let mut waiters = self.waiters.lock();
        for waiter in std::mem::take(&mut *waiters) {
            if waiter.released.is_closed() || is_removed(&waiter) {
                removed.push(waiter.released);
            } else {
                waiters.push(waiter);
            }
        }
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        removed
    }
}

impl KeptShare {
    pub(crate) fn new(memory: Arc<KeptMemory>) -> Self {
        Self { memory, bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds memory for an event, if the session then still leaves as much free as it keeps, or if
    /// it keeps nothing else.
    pub(crate) fn try_add(&mut self, bytes: usize) -> bool {
        let (bytes_max, kept) = (self.memory.bytes_max, self.bytes);
        let added = self.memory.add_if(bytes, |used| {
            let free = bytes_max.saturating_sub(used);
            bytes <= free && (kept == 0 || kept.saturating_add(bytes) <= free - bytes)
        });
        self.bytes += if added { bytes } else { 0 };
        added
    }

    /// Adds as much memory as the session may use. Returns the maximum that it may keep then.
    pub(crate) fn add_all(&mut self) -> usize {
        loop {
            let used = self.memory.used();
            let free = self.memory.bytes_max.saturating_sub(used);
            let bytes_max = self.bytes.saturating_add(free) / 2;
            let bytes = bytes_max.saturating_sub(self.bytes);
            if self.memory.add_if(bytes, |now| now == used) {
                self.bytes += bytes;
                return bytes_max;
            }
        }
    }

    /// Sets the memory that the session uses. Returns the waiters that are released thereby.
    pub(crate) fn set(&mut self, bytes: usize) -> Vec<oneshot::Sender<()>> {
        let added = bytes.saturating_sub(self.bytes);
        let released = self.bytes.saturating_sub(bytes);
        self.bytes = bytes;
        if added > 0 {
            self.memory.used.fetch_add(added, Ordering::SeqCst);
        }
        if released == 0 {
            return Vec::new();
        }
        self.memory.used.fetch_sub(released, Ordering::SeqCst);
        self.memory.release_waiters()
    }

    /// Waits until `bytes` may be free. Returns `None` if they are.
    pub(crate) fn wait(&self, session: SessionId, bytes: usize) -> Option<oneshot::Receiver<()>> {
        let (released, receiver) = oneshot::channel();
        let mut waiters = self.memory.waiters.lock();
        // Memory that stays full releases nobody, and must not be filled by those who went away.
        waiters.retain(|waiter| !waiter.released.is_closed());
        waiters.push(Waiter { session, bytes, released });
        self.memory.waiting.store(waiters.len(), Ordering::SeqCst);
        // Memory that was released before this is not reported to the new waiter.
        if bytes <= self.memory.free() {
            waiters.pop();
            self.memory.waiting.store(waiters.len(), Ordering::SeqCst);
            return None;
        }
        Some(receiver)
    }

    /// Removes the waiters of a session. Returns their senders, to be dropped.
    pub(crate) fn remove_waiters(&self, session: SessionId) -> Vec<oneshot::Sender<()>> {
        if self.memory.waiting.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        self.memory.remove_waiters(|waiter| waiter.session == session)
    }
}

impl Drop for KeptShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;

    #[test]
    fn senders_that_no_longer_wait_do_not_count() {
        let memory = Arc::new(KeptMemory::new(1_000));
        let (mut full, empty) =
            (KeptShare::new(Arc::clone(&memory)), KeptShare::new(Arc::clone(&memory)));
        assert!(full.try_add(1_000));
        for _ in 0..10 {
            assert!(empty.wait(SessionId::random(), 900).is_some());
        }
        let _released = empty.wait(SessionId::random(), 300);
        assert_eq!(memory.waiters.lock().len(), 1);
        assert_eq!(memory.excess(), 300);
    }
}
