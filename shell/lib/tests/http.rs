//! Tests of the HTTP service over loopback sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "http/bodies.rs"]
mod bodies;
#[path = "http/cors.rs"]
mod cors;
#[path = "http/credentials.rs"]
mod credentials;
#[path = "http/headers.rs"]
mod headers;
#[path = "http/messages.rs"]
mod messages;
#[path = "http/observer.rs"]
mod observer;
#[path = "http/principals.rs"]
mod principals;
#[path = "http/raw.rs"]
mod raw;
#[path = "http/responses.rs"]
mod responses;
#[path = "http/resume.rs"]
mod resume;
#[path = "http/server.rs"]
mod server;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/backend.rs"]
mod support;
