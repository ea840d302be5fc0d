//! C8: a client is told that a session does not exist only if that is true.

use std::collections::BTreeMap;
use std::time::Duration;

use rejoin_core::Instant;

use crate::cluster::names::SessionNo;

/// Time that an answer of the store is on its way, at most.
const ANSWER: Duration = Duration::from_millis(1_100);

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
    /// When its owner has last created it in the store, or again after the store had forgotten it.
    pub(in crate::cluster) recreated_at: Option<Instant>,
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
        now: Instant,
    ) -> Result<(), String> {
        let fate = self.of(session);
        let was_stored = fate.recreated_at.is_none_or(|at| at.saturating_add(ANSWER) < now);
        let is_true = fate.is_closed
            || is_request && fate.was_bereaved
            || !(is_stored && was_stored) && has_forgotten;
        if is_true {
            return Ok(());
        }
        Err(format!("law C8 (404 is true): session {session} is {fate:?}, stored: {is_stored}"))
    }
}
