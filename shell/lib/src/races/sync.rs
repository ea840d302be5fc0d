//! Synchronization primitives and randomness that are controlled by the schedule of a test.
//!
//! Tokio's semaphores and notifications only depend on wakers, so that they are used as they are,
//! with a scheduling point before each operation. Atomics are sequentially consistent, whatever
//! ordering is given: shuttle does not model weak memory.

use std::{future::Future, time::Duration};

use shuttle::{future::JoinHandle, rand::Rng as _};
pub(crate) use shuttle::{future::yield_now, sync::atomic};
pub(crate) use shuttle_parking_lot::{Mutex, RwLock};
use tokio::sync::AcquireError;
pub(crate) use tokio::sync::{SemaphorePermit, TryAcquireError, oneshot};

shuttle::lazy_static! {
    /// The tasks of one schedule.
    static ref TASKS: Mutex<Vec<JoinHandle<()>>> = Mutex::default();
}

/// Spawns a task that [`join_tasks`] waits for.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let task = shuttle::future::spawn(task);
    TASKS.lock().push(task);
}

/// Waits until every task has ended.
pub(super) async fn join_tasks() {
    let tasks = std::mem::take(&mut *TASKS.lock());
    for task in tasks {
        assert!(task.await.is_ok());
    }
}

/// Returns a random number, which is part of the schedule.
pub(crate) fn random() -> u128 {
    shuttle::rand::thread_rng().r#gen()
}

/// Tokio's `Notify`.
#[derive(Debug, Default)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn notify_one(&self) {
        yield_to_others();
        self.0.notify_one();
    }

    pub(crate) async fn notified(&self) {
        yield_to_others();
        self.0.notified().await;
    }
}

/// Tokio's `Semaphore`.
#[derive(Debug)]
pub(crate) struct Semaphore(tokio::sync::Semaphore);

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Self {
        Self(tokio::sync::Semaphore::new(permits))
    }

    pub(crate) fn try_acquire_many(
        &self,
        permits: u32,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        yield_to_others();
        self.0.try_acquire_many(permits)
    }

    pub(crate) async fn acquire_many(
        &self,
        permits: u32,
    ) -> Result<SemaphorePermit<'_>, AcquireError> {
        yield_to_others();
        self.0.acquire_many(permits).await
    }

    pub(crate) async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1).await
    }

    pub(crate) fn add_permits(&self, permits: usize) {
        yield_to_others();
        self.0.add_permits(permits);
    }

    pub(crate) fn close(&self) {
        yield_to_others();
        self.0.close();
    }
}

/// Adds a scheduling point: other threads may run first. Shuttle has no time, so the duration of
/// the sleep does not matter.
fn yield_to_others() {
    shuttle::thread::sleep(Duration::ZERO);
}
