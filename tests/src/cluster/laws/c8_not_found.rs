//! C8: a client is told that a session does not exist only if that is true.

use std::collections::BTreeMap;

use rejoin_core::Instant;

use crate::cluster::names::SessionNo;

/// What has become of sessions.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Fates(BTreeMap<SessionNo, Fate>);

/// What has become of a session.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Fate {
    /// Whether it is closed at some node.
    pub(in crate::cluster) is_closed: bool,
    /// Whether it has been without a backend.
    pub(in crate::cluster) was_bereaved: bool,
    /// When its client got to know that it was deleted.
    pub(in crate::cluster) deleted_at: Option<Instant>,
}

impl Fates {
    /// Returns the fate of a session.
    pub(in crate::cluster) fn of(&mut self, session: SessionNo) -> &mut Fate {
        self.0.entry(session).or_default()
    }

    /// Checks a 404. `is_stored` is whether the store has the session.
    pub(in crate::cluster) fn check_not_found(
        &mut self,
        session: SessionNo,
        is_request: bool,
        is_stored: bool,
        has_forgotten: bool,
    ) -> Result<(), String> {
        let fate = self.of(session);
        let is_true =
            fate.is_closed || is_request && fate.was_bereaved || !is_stored && has_forgotten;
        if is_true {
            return Ok(());
        }
        Err(format!("law C8 (404 is true): session {session} is {fate:?}, stored: {is_stored}"))
    }
}
