//! What threads and tasks meet at, and chance: all that a session, its inbox and the
//! manager have of it.
//!
//! Under `cfg(shuttle)`, the tests have `races/sync.rs` in its place.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::{Mutex, RwLock};
pub(crate) use rand::random;
pub(crate) use tokio::{
    spawn,
    sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError, oneshot},
    task::yield_now,
};
