//! What a session keeps for its client, within the memory limit of all sessions.

use std::{mem, sync::Arc};

use bytes::Bytes;
use rejoin_core::{EVENT_OVERHEAD_BYTES, Input, Message, Overflow};

use super::{backend_message::ReleaseReceiver, inner::SessionInner, state::LockedSession};

/// Whether there is memory for a message.
#[derive(Debug)]
pub(super) enum Admission {
    /// The core decides, within the limit that it was given.
    Admitted,
    /// It waits for other sessions: until the release, or not at all if memory is free again.
    Waits(Option<ReleaseReceiver>),
}

impl SessionInner {
    /// Lets the session keep at most `bytes_max`, until memory is free again.
    pub(crate) fn limit_kept(self: &Arc<Self>, bytes_max: usize) {
        self.with_lock((), |locked| locked.limit_kept(bytes_max));
    }
}

impl LockedSession<'_> {
    /// Counts the memory for a message before it is recorded, and limits the core to it.
    pub(super) fn admit(&mut self, message: &Message<Bytes>, overflow: Overflow) -> Admission {
        let core = &self.state.core;
        if core.close_reason().is_some() || message.bytes > core.config().message_bytes_max {
            // It is rejected, or replaced by a failure, which costs nothing.
            return Admission::Admitted;
        }
        let cost = message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
        if self.state.kept.try_add(cost) {
            self.lift_limit();
            return Admission::Admitted;
        }
        self.after_unlock.has_shortage = true;
        let mut bytes_max = self.state.kept.add_all();
        if cost > bytes_max {
            // It only fits alone.
            self.limit_kept(0);
            self.count_kept();
            if self.state.kept.bytes() == 0 {
                return self.admit_alone(cost, overflow);
            }
            bytes_max = self.state.kept.add_all();
        }
        self.limit_kept(bytes_max);
        Admission::Admitted
    }

    /// Counts the memory for the only event of the session. A sender that cannot wait exceeds the
    /// limit of all sessions, by that event.
    fn admit_alone(&mut self, cost: usize, overflow: Overflow) -> Admission {
        if self.state.kept.try_add(cost) || overflow == Overflow::Evict {
            return Admission::Admitted;
        }
        Admission::Waits(self.state.kept.wait(self.session.id(), cost))
    }

    fn limit_kept(&mut self, bytes_max: usize) {
        self.state.has_kept_limit = true;
        self.apply(Input::LimitBytes { bytes_max });
    }

    fn lift_limit(&mut self) {
        if mem::take(&mut self.state.has_kept_limit) {
            self.apply(Input::LimitBytes { bytes_max: usize::MAX });
        }
    }

    /// Counts what the core keeps now.
    pub(super) fn count_kept(&mut self) {
        let kept = self.state.core.kept_bytes();
        if kept != self.state.kept.bytes() {
            let released = self.state.kept.set(kept);
            self.after_unlock.released_senders.extend(released);
        }
    }
}
