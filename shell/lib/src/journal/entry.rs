//! The lines of a journal.

use rejoin_core::{Config, Input, Instant};
use serde::{Deserialize, Serialize};

/// The first line of a journal: the beginning of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format of the journal: [`Header::FORMAT`].
    pub format: u32,
    /// The version of this crate that wrote the journal.
    pub version: String,
    /// The first half of the session's id.
    pub session: String,
    /// The time at which the session began.
    pub now: Instant,
    /// The configuration of the session.
    pub config: Config,
}

impl Header {
    /// The format that this version reads and writes.
    pub const FORMAT: u32 = 5;
}

/// One of the other lines of a journal: an input of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The time of the input.
    pub now: Instant,
    /// The input, without the bodies of messages.
    pub input: Input<()>,
}
