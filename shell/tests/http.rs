//! The HTTP service over loopback sockets, row by row: what input gets which answer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support serves other tests, too")]

#[path = "http/answers.rs"]
mod answers;
#[path = "http/bodies.rs"]
mod bodies;
#[path = "http/browsers.rs"]
mod browsers;
#[path = "support/client.rs"]
mod client;
#[path = "http/headers.rs"]
mod headers;
#[path = "http/host.rs"]
mod host;
#[path = "http/messages.rs"]
mod messages;
#[path = "http/raw.rs"]
mod raw;
#[path = "http/resume.rs"]
mod resume;
#[path = "support/backend.rs"]
mod support;
