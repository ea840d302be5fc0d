//! The program with TLS and HTTP/2.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "tls/client_certificates.rs"]
mod client_certificates;
#[path = "tls/fixture.rs"]
mod fixture;
#[path = "tls/handshake.rs"]
mod handshake;
#[path = "tls/http1.rs"]
mod http1;
#[path = "tls/http2.rs"]
mod http2;
#[path = "tls/reload.rs"]
mod reload;
