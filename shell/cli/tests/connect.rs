//! Tests of `rejoin connect`, as the application at its stdin and stdout.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "connect/application.rs"]
mod application;
#[path = "connect/conversation.rs"]
mod conversation;
#[path = "connect/credentials.rs"]
mod credentials;
#[path = "connect/cuts.rs"]
mod cuts;
#[path = "connect/cutting_proxy.rs"]
mod cutting_proxy;
#[path = "connect/end.rs"]
mod end;
#[path = "connect/once.rs"]
mod once;
#[path = "connect/restart.rs"]
mod restart;
#[path = "connect/scripted_server.rs"]
mod scripted_server;
#[cfg(target_os = "linux")]
#[path = "connect/tls.rs"]
mod tls;
