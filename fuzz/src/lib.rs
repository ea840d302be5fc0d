//! Fuzz targets, as functions that panic if a property does not hold.
//!
//! `cargo test` replays their corpora. To search for new inputs, from the root of the
//! workspace:
//!
//! ```text
//! mkdir -p target/corpus/head
//! CARGO_PROFILE_RELEASE_LTO=off cargo +nightly fuzz run --fuzz-dir fuzz --features libfuzzer \
//!     head target/corpus/head fuzz/corpus/head -- -dict=fuzz/dictionaries/head.dict -max_len=4096
//! ```
//!
//! New inputs are written to the first directory. Add a failing input to `fuzz/corpus`,
//! together with the fix. The sanitizer's symbols get lost in fat link-time
//! optimization: <https://github.com/rust-fuzz/cargo-fuzz/issues/384>.

mod event_id;
mod head;
mod snapshot;

pub use event_id::event_id;
pub use head::head;
pub use snapshot::snapshot;

/// Decodes `data` into a configuration and a history, and runs them on a session and on its
/// model, with the checkers of the laws.
///
/// # Panics
///
/// Panics with a transcript if they disagree, or if a law is broken.
pub fn history(data: &[u8]) {
    rejoin_tests::runner::run_bytes(data);
}
