//! The state of a server.

use super::{background::Background, log::Log, watch::Watch};

/// The state of one session. Dropping it aborts its background tasks.
#[derive(Default)]
pub(super) struct State {
    pub(super) background: Background,
    pub(super) log: Log,
    pub(super) watch: Watch,
}
