//! The event queue. Virtual time jumps from one event to the next.

use std::collections::BTreeMap;

use rejoin_core::{Instant, RequestId};

use super::packet::Packet;

/// Identifiers of what a simulation consists of.
pub(super) type ClientNo = usize;
pub(super) type ServerNo = usize;
pub(super) type LinkNo = u64;
pub(super) type ReaderNo = u64;
pub(super) type TaskNo = u64;
pub(super) type Serial = u64;

/// An event of the simulation, as opposed to an SSE event.
#[derive(Clone, Debug)]
pub(super) enum SimEvent {
    /// A client does its next step.
    ClientTurn(ClientNo),
    /// A packet of a client arrives.
    PacketArrived(Box<Packet>),
    /// A response body pulls more events.
    PullBody(LinkNo),
    /// A client reads.
    ClientReads(LinkNo),
    /// A server notices that a connection is closed.
    ServerSeesClose(LinkNo),
    /// A client notices that a connection is closed.
    ClientSeesClose(LinkNo),
    /// A link fails as it was drawn to.
    LinkFault(LinkNo),
    /// A client resumes a stream.
    Resume(ReaderNo),
    /// A request of a client times out.
    RequestTimeout(Serial),
    /// A backend executes the next action of a task.
    BackendTask(ServerNo, TaskNo),
    /// A server request times out at the backend.
    ServerRequestTimeout(ServerNo, RequestId),
    /// The deadline of a session.
    Tick(ServerNo),
    /// The records of a session through a number are committed.
    Committed(ServerNo, u64),
    /// The process of a session crashes.
    Crash(ServerNo),
    /// The limit of what a session keeps may change.
    Limit(ServerNo),
    /// The operator no longer waits for a session that drains.
    DrainTimeout(ServerNo),
}

/// The events of a simulation, in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct EventQueue {
    entries: BTreeMap<(Instant, u64, u64), SimEvent>,
    count: u64,
}

/// The next event.
#[derive(Clone, Debug)]
pub(super) struct NextEvent {
    pub(super) at: Instant,
    pub(super) event: SimEvent,
    /// Whether it overtakes an event of the same instant that was pushed earlier.
    pub(super) is_reordered: bool,
}

impl EventQueue {
    /// Adds an event. Events of one instant are ordered by `turn`, then by insertion.
    pub(super) fn push(&mut self, at: Instant, turn: u64, event: SimEvent) {
        self.count += 1;
        self.entries.insert((at, turn, self.count), event);
    }

    /// Removes and returns the next event, unless it is later than `end`.
    pub(super) fn pop_until(&mut self, end: Instant) -> Option<NextEvent> {
        let entry = self.entries.first_entry()?;
        let (at, turn, count) = *entry.key();
        if at > end {
            return None;
        }
        let event = entry.remove();
        let later = self.entries.range((at, turn, count)..=(at, u64::MAX, u64::MAX));
        let is_reordered = later.into_iter().any(|((.., later), _)| *later < count);
        Some(NextEvent { at, event, is_reordered })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_are_ordered_by_time_then_turn_then_insertion() {
        let at = |seconds| Instant::new(Duration::from_secs(seconds));
        let mut event_queue = EventQueue::default();
        for (second, turn, link) in [(2, 0, 1), (1, 5, 2), (1, 0, 3), (1, 0, 4), (3, 0, 5)] {
            event_queue.push(at(second), turn, SimEvent::PullBody(link));
        }
        let mut links = Vec::new();
        while let Some(NextEvent { event: SimEvent::PullBody(link), is_reordered, .. }) =
            event_queue.pop_until(at(2))
        {
            links.push((link, is_reordered));
        }
        assert_eq!(links, [(3, true), (4, true), (2, false), (1, false)]);
    }
}
