//! Queues of what will be let go of: by a deadline, by a limit, or by both.

use slab::Slab;

use crate::{Instant, shrink};

/// Names a queue. The order is that in which things fall due that have the same
/// deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// The answer to `initialize`; its key means nothing.
    Initialize,
    /// Streams that are reserved.
    Reservation,
    /// Streams that hold a sender up, until they are stuck.
    Hold,
    /// Connections whose reader may stall, after the longest timeout, as at first.
    StallLongest,
    /// Connections whose reader may stall, after a timeout in between. With equal deadlines,
    /// a longer timeout began first.
    Stall,
    /// Connections whose reader may stall, after the shortest timeout.
    StallShortest,
    /// Connections whose reader is stalled.
    StallLimit,
    /// Requests of the backend that wait for a connection.
    Listen,
    /// Requests of the backend that were delivered, and wait for their answer.
    Answer,
    /// Streams that have lost their connection.
    Orphan,
    /// Ids of cancelled requests.
    Cancelled,
    /// Retained streams whose end was not taken.
    Untaken,
    /// Retained streams whose end was taken.
    Taken,
    /// Streams whose oldest event was taken. They have no deadline, but are asked
    /// first to make room.
    Spent,
    /// Streams whose log has an event. They have no deadline, but may be asked
    /// to make room.
    Eventful,
}

const QUEUES: usize = Queue::Eventful as usize + 1;

/// How many queues, the first ones, have deadlines.
const TIMED: usize = Queue::Taken as usize + 1;

/// The key, in whatever table it is, of what waits in a queue.
pub(crate) type Key = u32;

/// A place in a queue: what [`Queues::leave`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

impl Ticket {
    /// No place at all: what is left of a ticket whose deadline was due.
    pub(crate) const NONE: Self = Self(NONE);
}

/// All queues of a session, each ordered by deadline, then by entry.
///
/// Most queues have one timeout, so an entry usually goes to the end, and all operations
/// take constant time. It passes those with later deadlines: in [`Queue::Stall`], those whose
/// readers make longer pauses; elsewhere, those that wait for a client that was told to come
/// back later. Each queue is a doubly linked list through one slab of nodes, so leaving from
/// the middle is as cheap.
#[derive(Debug)]
pub(crate) struct Queues {
    nodes: Slab<Node>,
    lists: [List; QUEUES],
    /// No deadline is earlier than this.
    soonest: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// [`Instant::MAX`] if it never comes.
    due: Instant,
    key: Key,
    queue: Queue,
    weight: u16,
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    front: u32,
    back: u32,
    weight: u32,
}

const NONE: u32 = u32::MAX;

#[expect(
    clippy::indexing_slicing,
    reason = "a ticket names a node that is in use, and links lead to such nodes only"
)]
impl Queues {
    pub(crate) const fn new() -> Self {
        let empty = List { front: NONE, back: NONE, weight: 0 };
        Self { nodes: Slab::new(), lists: [empty; QUEUES], soonest: Instant::MAX }
    }

    /// Returns the earliest deadline; [`Instant::MAX`] is never.
    pub(crate) fn deadline(&self) -> Instant {
        self.fronts().map(|node| node.due).min().unwrap_or(Instant::MAX)
    }

    /// Goes through what is first in each queue that has deadlines.
    fn fronts(&self) -> impl Iterator<Item = &Node> {
        let timed = self.lists.iter().take(TIMED);
        timed.filter_map(|list| self.nodes.get(list.front as usize))
    }

    /// Returns what no deadline is earlier than, and which may be earlier than all.
    pub(crate) fn earliest(&self) -> Instant {
        self.soonest
    }

    /// Takes out what is due first, if it is due. Its ticket is void from then on.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Queue, Key)> {
        if now < self.soonest {
            return None;
        }
        self.soonest = self.deadline();
        if now < self.soonest || self.soonest == Instant::MAX {
            return None;
        }
        let Node { queue, key, .. } = *self.fronts().find(|node| node.due == self.soonest)?;
        self.leave(Ticket(self.lists[queue as usize].front));
        Some((queue, key))
    }

    /// Returns who is first in a queue.
    pub(crate) fn first(&self, queue: Queue) -> Option<Key> {
        let front = self.lists[queue as usize].front;
        (front != NONE).then(|| self.nodes[front as usize].key)
    }

    /// Returns what all in a queue weigh: how many they are, where each weighs 1.
    pub(crate) fn weight(&self, queue: Queue) -> usize {
        self.lists[queue as usize].weight as usize
    }

    /// Returns the deadline of whoever holds `ticket`.
    pub(crate) fn due(&self, ticket: Ticket) -> Instant {
        self.nodes[ticket.0 as usize].due
    }

    /// Goes through a queue from the front.
    pub(crate) fn iter(&self, queue: Queue) -> impl Iterator<Item = (Key, Option<Instant>)> {
        let mut at = self.lists[queue as usize].front;
        core::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.after;
            Some((node.key, node.due.unless_never()))
        })
    }

    /// Lets what has `key` wait until `due`; [`Instant::MAX`] is for ever.
    pub(crate) fn enter(&mut self, queue: Queue, key: Key, due: Instant) -> Ticket {
        self.enter_weighing(queue, key, due, 1)
    }

    /// Likewise, for what counts for more than one.
    pub(crate) fn enter_weighing(
        &mut self,
        queue: Queue,
        key: Key,
        due: Instant,
        weight: usize,
    ) -> Ticket {
        let weight = u16::try_from(weight).unwrap_or(u16::MAX);
        self.soonest = self.soonest.min(due);
        let mut before = self.lists[queue as usize].back;
        while before != NONE && self.nodes[before as usize].due > due {
            before = self.nodes[before as usize].before;
        }
        let after = match before {
            NONE => self.lists[queue as usize].front,
            _ => self.nodes[before as usize].after,
        };
        let at = small(self.nodes.insert(Node { due, key, queue, weight, before, after }));
        let list = &mut self.lists[queue as usize];
        list.weight += u32::from(weight);
        match before {
            NONE => list.front = at,
            _ => self.nodes[before as usize].after = at,
        }
        match after {
            NONE => list.back = at,
            _ => self.nodes[after as usize].before = at,
        }
        Ticket(at)
    }

    /// Takes whoever holds `ticket` out of the queue; nobody holds [`Ticket::NONE`].
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if ticket == Ticket::NONE {
            return;
        }
        let node = self.nodes.remove(ticket.0 as usize);
        let Node { queue, weight, before, after, .. } = node;
        match before {
            NONE => self.lists[queue as usize].front = after,
            _ => self.nodes[before as usize].after = after,
        }
        match after {
            NONE => self.lists[queue as usize].back = before,
            _ => self.nodes[after as usize].before = before,
        }
        self.lists[queue as usize].weight -= u32::from(weight);
        shrink::slab(&mut self.nodes);
    }

    /// Takes everything out of a queue.
    pub(crate) fn clear(&mut self, queue: Queue) {
        while self.lists[queue as usize].front != NONE {
            self.leave(Ticket(self.lists[queue as usize].front));
        }
    }
}

/// Makes a short key: a session's limits keep it far below 2^32 entries.
pub(crate) fn small(key: usize) -> Key {
    #[expect(clippy::cast_possible_truncation, reason = "more would not fit into memory")]
    let key = key as Key;
    key
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    /// Takes out what is due, in order.
    fn drain(queues: &mut Queues, now: Instant) -> Vec<(Queue, Key)> {
        core::iter::from_fn(|| queues.pop_due(now)).collect()
    }

    #[test]
    fn what_is_due_comes_out_by_deadline_then_queue_then_entry() {
        let mut queues = Queues::new();
        queues.enter(Queue::Orphan, 1, at(2));
        queues.enter(Queue::Orphan, 2, at(3));
        queues.enter(Queue::Orphan, 3, at(2));
        queues.enter(Queue::Initialize, 4, at(2));
        assert_eq!(queues.deadline(), at(2));
        assert_eq!(drain(&mut queues, at(1)), []);
        assert_eq!(
            drain(&mut queues, at(3)),
            [(Queue::Initialize, 4), (Queue::Orphan, 1), (Queue::Orphan, 3), (Queue::Orphan, 2)]
        );
        assert_eq!(queues.deadline(), Instant::MAX);
    }

    #[test]
    fn whoever_has_no_deadline_waits_behind_all_who_have_one() {
        let mut queues = Queues::new();
        queues.enter(Queue::Orphan, 1, Instant::MAX);
        queues.enter(Queue::Orphan, 2, at(9));
        assert_eq!(queues.first(Queue::Orphan), Some(2));
        assert_eq!(drain(&mut queues, Instant::MAX), [(Queue::Orphan, 2)]);
        assert_eq!(queues.weight(Queue::Orphan), 1);
    }

    #[test]
    fn the_memory_of_many_is_given_back() {
        let mut queues = Queues::new();
        let tickets: Vec<_> =
            (0..1_000).map(|key| queues.enter(Queue::Orphan, key, at(1))).collect();
        assert!(queues.nodes.capacity() >= 1_000);
        for ticket in tickets {
            queues.leave(ticket);
        }
        assert!(queues.nodes.capacity() <= shrink::KEPT, "{}", queues.nodes.capacity());
    }

    #[test]
    fn leaving_from_the_middle_keeps_the_order_and_frees_the_node() {
        let mut queues = Queues::new();
        queues.enter(Queue::Orphan, 1, at(1));
        let middle = queues.enter(Queue::Orphan, 2, at(1));
        queues.enter(Queue::Orphan, 3, at(1));
        queues.leave(middle);
        let reused = queues.enter(Queue::Orphan, 4, at(1));
        assert_eq!(reused, middle);
        let order: Vec<_> = drain(&mut queues, at(1)).into_iter().map(|(_, key)| key).collect();
        assert_eq!(order, [1, 3, 4]);
    }
}
