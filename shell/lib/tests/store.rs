//! Stores, in memory and on real servers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store/contract.rs"]
mod contract;
#[path = "store/memory.rs"]
mod memory;
#[path = "store/redis.rs"]
mod redis;
