//! The lines of a journal.

use rejoin_core::{Config, Input, Instant};
use serde::{Deserialize, Serialize};

/// The first line of a journal: how the session began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The way in which the journal is written: [`Header::FORMAT`].
    pub format: u32,
    /// The version of this crate that wrote it.
    pub version: String,
    /// The first half of the session's id.
    pub session: String,
    /// When the session began.
    pub now: Instant,
    /// What the session is held to.
    pub config: Config,
}

impl Header {
    /// The format that is written and read here.
    pub const FORMAT: u32 = 1;
}

/// One of the other lines: what the session was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub now: Instant,
    /// What, without the bodies of messages.
    pub input: Input<()>,
}
