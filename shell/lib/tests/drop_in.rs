//! `LocalSessionManager` behind the HTTP service of rmcp, over sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "drop_in/client.rs"]
mod client;
#[path = "drop_in/delivery.rs"]
mod delivery;
#[path = "drop_in/lifetime.rs"]
mod lifetime;
#[path = "drop_in/parts.rs"]
mod parts;
#[path = "drop_in/polling.rs"]
mod polling;
#[path = "drop_in/restore.rs"]
mod restore;
#[path = "drop_in/rmcp_client.rs"]
mod rmcp_client;
#[path = "drop_in/server.rs"]
mod server;
#[path = "drop_in/service.rs"]
mod service;
#[path = "drop_in/stalled.rs"]
mod stalled;
#[path = "drop_in/wrappers.rs"]
mod wrappers;
