//! What a demo server keeps of its session.

use super::{background::Background, log::Log, watch::Watch};

/// It ends with the session, and with it what runs in the background.
#[derive(Default)]
pub(super) struct State {
    pub(super) background: Background,
    pub(super) log: Log,
    pub(super) watch: Watch,
}
