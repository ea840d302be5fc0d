//! Section "Shrinking", and the limit of the kept bytes.

use rejoin_core::Overflow;

use super::{Case, Cause, Model};

impl Model {
    /// Handles `LimitBytes`: sets the limit, to which the session shrinks when it settles.
    pub(super) fn limit_bytes(&mut self, bytes_max: usize) {
        let was_above = self.is_shrinking;
        self.limit = bytes_max.min(self.config.session_bytes_max);
        self.is_shrinking = self.is_above_limit();
        if was_above && !self.is_shrinking {
            self.reach(Case::RaisedToKept);
        }
    }

    /// Evicts events and cuts stopped readers, while the session shrinks.
    pub(super) fn shrink(&mut self) {
        if !self.is_shrinking {
            return;
        }
        self.evict_to_limit();
        while self.is_above_limit()
            && let Some(connection) = self.longest_stopped()
        {
            self.reach(Case::CutToShrink);
            self.cut_stalled(connection);
            self.evict_to_limit();
        }
        self.is_shrinking = self.is_above_limit();
        if self.is_shrinking {
            self.reach(Case::Shrinks);
        }
    }

    fn evict_to_limit(&mut self) {
        if self.closed.is_none() {
            self.evict_acknowledged(0, self.limit, Cause::Shrinking);
            self.evict_unacknowledged(0, Overflow::Hold, Cause::Shrinking);
        }
    }

    fn is_above_limit(&self) -> bool {
        self.closed.is_none() && self.kept_bytes() > self.limit
    }
}
