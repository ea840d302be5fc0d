//! Deliberate bugs of a server, which the checker must find.

mod body;
mod delivery;
mod service;

use bytes::Bytes;

pub(crate) use self::delivery::BuggyDelivery;
pub(crate) use self::service::BuggyService;

/// Returns whether `bytes` contain a text.
fn has(bytes: &Bytes, text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
