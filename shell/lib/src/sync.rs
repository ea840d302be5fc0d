//! Synchronization primitives and randomness: all that sessions, their queues and the manager
//! use.
//!
//! Under `cfg(shuttle)`, tests replace it by `races/sync.rs`.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::{Mutex, RwLock};
pub(crate) use rand::random;
pub(crate) use tokio::{
    spawn,
    sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError, oneshot},
    task::yield_now,
};
