//! Events that a session keeps for its client, within the memory limit of all sessions.

use std::{mem, sync::Arc};

use rejoin_core::{EVENT_OVERHEAD_BYTES, Input, Message, Overflow, RequestId};

use super::{backend_message::RoomReceiver, inner::SessionInner, state::LockedSession};
use crate::payload::Payload;

/// A limit of the core because of other sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptLimit {
    None,
    /// The session is listed, so that the limit is raised when there is more memory.
    InForce,
    /// The session is still listed.
    Lifted,
}

/// Whether there is memory for a message.
#[derive(Debug)]
pub(super) enum Admission {
    /// The core decides, within the limit that it was given.
    Admitted,
    /// It waits for other sessions: until the release, or not at all if memory is free again.
    Waits(Option<RoomReceiver>),
}

impl<P: Payload> SessionInner<P> {
    /// Limits what the session keeps to `bytes_max`, until there is more memory.
    pub(crate) fn limit_kept(self: &Arc<Self>, bytes_max: usize) {
        self.with_lock((), |locked| locked.limit_kept(bytes_max));
    }

    /// Raises the limit to what the session may keep now. Returns whether it still has one.
    pub(crate) fn raise_kept_limit(self: &Arc<Self>) -> bool {
        self.with_lock(false, |locked| {
            let bytes_max = locked.state.kept.bytes_max_now();
            if bytes_max >= locked.state.core.config().session_bytes_max {
                locked.lift_kept_limit();
            }
            let is_limited = locked.state.kept_limit == KeptLimit::InForce;
            if is_limited {
                locked.apply(Input::LimitBytes { bytes_max });
            } else {
                locked.state.kept_limit = KeptLimit::None;
            }
            is_limited
        })
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Counts the memory for a message before it is recorded, and limits the core to it.
    pub(super) fn admit(
        &mut self,
        message: &Message<P::Server>,
        related: Option<&RequestId>,
        overflow: Overflow,
    ) -> Admission {
        let cost = message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
        if self.state.kept.try_add(cost) {
            self.lift_kept_limit();
            return Admission::Admitted;
        }
        if !self.state.core.would_record(message, related) {
            return Admission::Admitted;
        }
        self.after_unlock.has_shortage = true;
        let mut bytes_max = self.state.kept.add_up_to(cost);
        if cost > bytes_max {
            // It only fits alone.
            self.limit_kept(0);
            self.count_kept();
            if self.state.core.close_reason().is_some() {
                return Admission::Admitted;
            }
            if self.state.kept.bytes() == 0 {
                return self.admit_alone(cost, overflow);
            }
            bytes_max = self.state.kept.add_up_to(cost);
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
        let waits = self.state.kept.wait(self.session.id(), cost);
        Admission::Waits(waits.map(|(released, waiter)| RoomReceiver::for_memory(released, waiter)))
    }

    fn limit_kept(&mut self, bytes_max: usize) {
        match mem::replace(&mut self.state.kept_limit, KeptLimit::InForce) {
            KeptLimit::None => self.session.shared.add_limited(Arc::downgrade(self.session)),
            KeptLimit::InForce | KeptLimit::Lifted => {}
        }
        self.apply(Input::LimitBytes { bytes_max });
    }

    fn lift_kept_limit(&mut self) {
        if self.state.kept_limit == KeptLimit::InForce {
            self.state.kept_limit = KeptLimit::Lifted;
            self.apply(Input::LimitBytes { bytes_max: usize::MAX });
        }
    }

    /// Counts what the session keeps now: what its core does, or, once it is closed, what its
    /// connections still have to send.
    pub(super) fn count_kept(&mut self) {
        let kept = match self.state.core.close_reason() {
            None => self.state.core.kept_bytes(),
            Some(_) => self.state.buffers.kept_bytes(),
        };
        if kept != self.state.kept.bytes() {
            let released = self.state.kept.set(kept);
            self.after_unlock.released_senders.extend(released);
        }
    }
}
