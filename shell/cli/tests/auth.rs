//! Tests of authentication: the program with clients that have wrong credentials, and an issuer of
//! tokens in the test process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
#[path = "auth/caller.rs"]
mod caller;
#[path = "auth/expiry.rs"]
mod expiry;
#[path = "auth/issuer.rs"]
mod issuer;
#[path = "auth/keys.rs"]
mod keys;
#[path = "auth/metadata.rs"]
mod metadata;
#[path = "auth/raw.rs"]
mod raw;
#[path = "auth/rotation.rs"]
mod rotation;
#[path = "auth/sessions.rs"]
mod sessions;
#[path = "auth/signer.rs"]
mod signer;
#[path = "auth/wrong_tokens.rs"]
mod wrong_tokens;
