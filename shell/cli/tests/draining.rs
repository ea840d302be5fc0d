//! The program on its way out: the stages of a shutdown, systemd, and restarts under load.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "draining/balancer.rs"]
mod balancer;
#[path = "draining/rolling_restart.rs"]
mod rolling_restart;
#[path = "draining/stages.rs"]
mod stages;
#[path = "draining/systemd.rs"]
mod systemd;
