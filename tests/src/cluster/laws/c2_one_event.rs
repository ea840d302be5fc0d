//! C2: an event id names at most one event, whoever gives it out.

use std::collections::BTreeMap;

use rejoin_core::{Event, EventId, FailureReason};

use crate::cluster::names::SessionNo;

/// The events that ids were given to.
#[derive(Debug, Default)]
pub(in crate::cluster) struct OneEvent(BTreeMap<(SessionNo, EventId), Event<u64>>);

impl OneEvent {
    /// Checks an event that is sent.
    pub(in crate::cluster) fn check_sent(
        &mut self,
        session: SessionNo,
        id: EventId,
        event: &Event<u64>,
    ) -> Result<(), String> {
        match event {
            Event::Message(_) => {}
            // It may stand in for a response that was evicted, or be for several requests.
            Event::Failure(failure) => {
                if matches!(failure.reason, FailureReason::Evicted | FailureReason::Expired) {
                    return Ok(());
                }
            }
            // They name a position.
            Event::Priming { .. } | Event::Gap { .. } => return Ok(()),
        }
        let known = self.0.entry((session, id)).or_insert_with(|| event.clone());
        if known == event {
            return Ok(());
        }
        Err(format!("law C2 (one id, one event): {id} of session {session}: {known:?}, {event:?}"))
    }
}
