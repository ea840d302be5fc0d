//! The program with several servers from a file, which SIGHUP reads again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "servers/file.rs"]
mod file;
#[path = "servers/fixture.rs"]
mod fixture;
#[path = "servers/load.rs"]
mod load;
#[path = "servers/paths.rs"]
mod paths;
#[path = "servers/processes.rs"]
mod processes;
#[path = "servers/reload.rs"]
mod reload;
