//! Ports for programs that are restarted.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Returns a free port that the system does not choose for clients, which could otherwise take it,
/// or connect to themselves, while no program listens. Each call in a process returns another one.
#[must_use]
pub fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(process::id() % 10_000).unwrap();
    loop {
        let port = first + CALLS.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
