//! Memory limit of what all sessions keep for their clients.
//!
//! A session may keep as much as it leaves free, so that no session takes all of the memory. Many
//! sessions can: the last eighth is for sessions that keep nothing, so that each of them still sends
//! one event at a time. When a session gets less than it needs, those that keep the most are told to
//! keep less, see `manager/reclaim.rs`.

use std::sync::Arc;

use rejoin_core::EVENT_OVERHEAD_BYTES;

use super::memory_waiters::MemoryWaiters;
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
    waiters: Mutex<MemoryWaiters>,
    /// The size of the largest event that waits; 0 if none does.
    largest_waiting: AtomicUsize,
    /// The number of sessions with a limit.
    limited: AtomicUsize,
    /// Notified when a session gets less memory than it needs, and when memory is released while
    /// sessions have limits.
    changed: Notify,
    /// Notified when nothing is to be reclaimed any more.
    stop: Notify,
}

/// A sender that waits for memory, until it is released or this is dropped.
#[derive(Debug)]
pub(crate) struct MemoryWaiter {
    memory: Arc<KeptMemory>,
    number: u64,
}

/// The part of the memory that a session uses. It is released on drop.
#[derive(Debug)]
pub(crate) struct KeptShare {
    memory: Arc<KeptMemory>,
    bytes: usize,
}

impl KeptMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: AtomicUsize::new(0),
            waiters: Mutex::default(),
            largest_waiting: AtomicUsize::new(0),
            limited: AtomicUsize::new(0),
            changed: Notify::default(),
            stop: Notify::default(),
        }
    }

    /// Returns how many bytes should be reclaimed: a quarter of the memory should be free, and
    /// enough for the largest event that waits.
    pub(crate) fn excess(&self) -> usize {
        let free_min = (self.bytes_max / 4).max(self.largest_waiting());
        self.used().saturating_sub(self.bytes_max.saturating_sub(free_min))
    }

    /// Waits until memory is to be reclaimed, or limits can be raised. While an event waits, what
    /// was reclaimed for it may have gone to others, so that this returns at once.
    pub(crate) async fn changed(&self) {
        if self.largest_waiting() == 0 {
            self.changed.notified().await;
        }
    }

    /// Reports that a session gets less memory than it needs.
    pub(crate) fn report_shortage(&self) {
        self.changed.notify_one();
    }

    /// Counts a session that has a limit.
    pub(super) fn add_limited(&self) {
        self.limited.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts sessions that have no limit any more.
    pub(crate) fn remove_limited(&self, count: usize) {
        self.limited.fetch_sub(count, Ordering::SeqCst);
    }

    /// Stops the task that reclaims memory.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    pub(crate) async fn stopped(&self) {
        self.stop.notified().await;
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    fn free(&self) -> usize {
        self.bytes_max.saturating_sub(self.used())
    }

    /// Returns how many bytes are free for a session that keeps `kept`, if `used` are in use.
    fn free_for(&self, kept: usize, used: usize) -> usize {
        self.bytes_max.saturating_sub(used).saturating_sub(self.reserved(kept))
    }

    /// Returns how many bytes are reserved for others than a session that keeps `kept`.
    fn reserved(&self, kept: usize) -> usize {
        match kept {
            0 => 0,
            _ => (self.bytes_max / 8).max(self.largest_waiting()),
        }
    }

    fn largest_waiting(&self) -> usize {
        self.largest_waiting.load(Ordering::SeqCst)
    }

    /// Adds bytes if `fits` returns `true` for those in use. Returns whether they were added.
    fn add_if(&self, bytes: usize, fits: impl Fn(usize) -> bool) -> bool {
        let add = |used: usize| fits(used).then(|| used.saturating_add(bytes));
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
    }

    /// Releases the waiters whose events fit. Returns their senders, to be dropped.
    pub(crate) fn release_waiters(&self) -> Vec<oneshot::Sender<()>> {
        let free = self.free();
        if self.largest_waiting() == 0 || free < EVENT_OVERHEAD_BYTES {
            return Vec::new();
        }
        self.change_waiters(|waiters| waiters.remove_fitting(free))
    }

    fn change_waiters<R>(&self, change: impl FnOnce(&mut MemoryWaiters) -> R) -> R {
        let mut waiters = self.waiters.lock();
        let result = change(&mut waiters);
        self.largest_waiting.store(waiters.largest(), Ordering::SeqCst);
        result
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
        let added = self.memory.add_if(bytes, |used| {
            let free = self.memory.free_for(self.bytes, used);
            let kept = self.bytes.saturating_add(bytes);
            bytes <= free && (self.bytes == 0 || kept <= free - bytes)
        });
        self.bytes += if added { bytes } else { 0 };
        added
    }

    /// Adds memory for an event, as far as the session may use it. Returns the maximum that it may
    /// keep.
    pub(crate) fn add_up_to(&mut self, bytes: usize) -> usize {
        loop {
            let used = self.memory.used();
            let bytes_max = self.bytes_max(used);
            let bytes = bytes_max.saturating_sub(self.bytes).min(bytes);
            if self.memory.add_if(bytes, |now| now == used) {
                self.bytes += bytes;
                return bytes_max;
            }
        }
    }

    /// Returns the maximum that the session may keep now.
    pub(crate) fn bytes_max_now(&self) -> usize {
        self.bytes_max(self.memory.used())
    }

    /// Returns half of what the other sessions leave to this one, so that it leaves as much free as
    /// it keeps. `used` includes what it keeps, and may exceed the limit.
    fn bytes_max(&self, used: usize) -> usize {
        let bytes_max = self.memory.bytes_max;
        let unavailable = used.saturating_add(self.memory.reserved(self.bytes));
        bytes_max.saturating_add(self.bytes).saturating_sub(unavailable) / 2
    }

    /// Sets the memory that the session uses. Returns the waiters that this releases.
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
        if self.memory.limited.load(Ordering::SeqCst) > 0 {
            self.memory.changed.notify_one();
        }
        self.memory.release_waiters()
    }

    /// Waits until `bytes` may be free. Returns `None` if they are.
    pub(crate) fn wait(
        &self,
        session: SessionId,
        bytes: usize,
    ) -> Option<(oneshot::Receiver<()>, MemoryWaiter)> {
        let (released, receiver) = oneshot::channel();
        let number = self.memory.change_waiters(|waiters| waiters.add(session, bytes, released));
        let waiter = MemoryWaiter { memory: Arc::clone(&self.memory), number };
        // Memory that was released before this is not reported to the new waiter.
        if bytes <= self.memory.free() {
            return None;
        }
        Some((receiver, waiter))
    }

    /// Removes the waiters of a session. Returns their senders, to be dropped.
    pub(crate) fn remove_waiters(&self, session: SessionId) -> Vec<oneshot::Sender<()>> {
        if self.memory.largest_waiting() == 0 {
            return Vec::new();
        }
        self.memory.change_waiters(|waiters| waiters.remove_session(session))
    }
}

impl Drop for KeptShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Drop for MemoryWaiter {
    fn drop(&mut self) {
        // Dropped without the lock.
        let _sender = self.memory.change_waiters(|waiters| waiters.remove(self.number));
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
        assert_eq!(memory.excess(), 300);
    }
}
