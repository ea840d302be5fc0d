//! Queues of what will be let go of: by a deadline, by a limit, or by both.

use slab::Slab;

use crate::{Instant, shrink};

/// Names a queue. The order is that in which things fall due that have the same
/// deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKind {
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
    StallDisconnect,
    /// Requests of the backend that wait for a connection.
    Delivery,
    /// Requests of the backend that were delivered, and wait for their answer.
    Response,
    /// Streams that have lost their connection.
    Orphan,
    /// Ids of cancelled requests.
    Cancelled,
    /// Retained streams whose end was not taken.
    RetainedUnacknowledged,
    /// Retained streams whose end was taken.
    RetainedAcknowledged,
    /// Streams whose oldest event was taken. They have no deadline, but are asked
    /// first to make room.
    FrontAcknowledged,
    /// Streams whose log has an event. They have no deadline, but may be asked
    /// to make room.
    NonEmpty,
}

const KINDS: usize = TimerKind::NonEmpty as usize + 1;

/// How many queues, the first ones, have deadlines.
const TIMED: usize = TimerKind::RetainedAcknowledged as usize + 1;

/// The key, in whatever table it is, of what waits in a queue.
pub(crate) type Key = u32;

/// A place in a queue: what [`Queues::leave`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

impl TimerKey {
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
pub(crate) struct Timers {
    nodes: Slab<Node>,
    lists: [List; KINDS],
    /// No deadline is earlier than this.
    lower_bound: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// [`Instant::MAX`] if it never comes.
    deadline: Instant,
    key: Key,
    kind: TimerKind,
    weight: u16,
    prev: u32,
    next: u32,
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
impl Timers {
    pub(crate) const fn new() -> Self {
        let empty = List { front: NONE, back: NONE, weight: 0 };
        Self { nodes: Slab::new(), lists: [empty; KINDS], lower_bound: Instant::MAX }
    }

    /// Returns the earliest deadline; [`Instant::MAX`] is never.
    pub(crate) fn deadline(&self) -> Instant {
        self.fronts().map(|node| node.deadline).min().unwrap_or(Instant::MAX)
    }

    /// Goes through what is first in each queue that has deadlines.
    fn fronts(&self) -> impl Iterator<Item = &Node> {
        let timed = self.lists.iter().take(TIMED);
        timed.filter_map(|list| self.nodes.get(list.front as usize))
    }

    /// Returns what no deadline is earlier than, and which may be earlier than all.
    pub(crate) fn lower_bound(&self) -> Instant {
        self.lower_bound
    }

    /// Takes out what is due first, if it is due. Its ticket is void from then on.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(TimerKind, Key)> {
        if now < self.lower_bound {
            return None;
        }
        self.lower_bound = self.deadline();
        if now < self.lower_bound || self.lower_bound == Instant::MAX {
            return None;
        }
        let Node { kind, key, .. } =
            *self.fronts().find(|node| node.deadline == self.lower_bound)?;
        self.remove(TimerKey(self.lists[kind as usize].front));
        Some((kind, key))
    }

    /// Returns who is first in a queue.
    pub(crate) fn first(&self, kind: TimerKind) -> Option<Key> {
        let front = self.lists[kind as usize].front;
        (front != NONE).then(|| self.nodes[front as usize].key)
    }

    /// Returns what all in a queue weigh: how many they are, where each weighs 1.
    pub(crate) fn weight(&self, kind: TimerKind) -> usize {
        self.lists[kind as usize].weight as usize
    }

    /// Returns the deadline of whoever holds `ticket`.
    pub(crate) fn deadline_of(&self, timer: TimerKey) -> Instant {
        self.nodes[timer.0 as usize].deadline
    }

    /// Goes through a queue from the front.
    pub(crate) fn iter(&self, kind: TimerKind) -> impl Iterator<Item = (Key, Option<Instant>)> {
        let mut at = self.lists[kind as usize].front;
        core::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.next;
            Some((node.key, node.deadline.finite()))
        })
    }

    /// Lets what has `key` wait until `due`; [`Instant::MAX`] is for ever.
    pub(crate) fn insert(&mut self, kind: TimerKind, key: Key, deadline: Instant) -> TimerKey {
        self.insert_weighted(kind, key, deadline, 1)
    }

    /// Likewise, for what counts for more than one.
    pub(crate) fn insert_weighted(
        &mut self,
        kind: TimerKind,
        key: Key,
        deadline: Instant,
        weight: usize,
    ) -> TimerKey {
        let weight = u16::try_from(weight).unwrap_or(u16::MAX);
        self.lower_bound = self.lower_bound.min(deadline);
        let mut before = self.lists[kind as usize].back;
        while before != NONE && self.nodes[before as usize].deadline > deadline {
            before = self.nodes[before as usize].prev;
        }
        let after = match before {
            NONE => self.lists[kind as usize].front,
            _ => self.nodes[before as usize].next,
        };
        let at = to_key(self.nodes.insert(Node {
            deadline,
            key,
            kind,
            weight,
            prev: before,
            next: after,
        }));
        let list = &mut self.lists[kind as usize];
        list.weight += u32::from(weight);
        match before {
            NONE => list.front = at,
            _ => self.nodes[before as usize].next = at,
        }
        match after {
            NONE => list.back = at,
            _ => self.nodes[after as usize].prev = at,
        }
        TimerKey(at)
    }

    /// Takes whoever holds `ticket` out of the queue; nobody holds [`Ticket::NONE`].
    pub(crate) fn remove(&mut self, timer: TimerKey) {
        if timer == TimerKey::NONE {
            return;
        }
        let node = self.nodes.remove(timer.0 as usize);
        let Node { kind, weight, prev: before, next: after, .. } = node;
        match before {
            NONE => self.lists[kind as usize].front = after,
            _ => self.nodes[before as usize].next = after,
        }
        match after {
            NONE => self.lists[kind as usize].back = before,
            _ => self.nodes[after as usize].prev = before,
        }
        self.lists[kind as usize].weight -= u32::from(weight);
        shrink::slab(&mut self.nodes);
    }

    /// Takes everything out of a queue.
    pub(crate) fn clear(&mut self, kind: TimerKind) {
        while self.lists[kind as usize].front != NONE {
            self.remove(TimerKey(self.lists[kind as usize].front));
        }
    }
}

/// Makes a short key: a session's limits keep it far below 2^32 entries.
pub(crate) fn to_key(key: usize) -> Key {
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
    fn drain(timers: &mut Timers, now: Instant) -> Vec<(TimerKind, Key)> {
        core::iter::from_fn(|| timers.pop_due(now)).collect()
    }

    #[test]
    fn what_is_due_comes_out_by_deadline_then_queue_then_entry() {
        let mut timers = Timers::new();
        timers.insert(TimerKind::Orphan, 1, at(2));
        timers.insert(TimerKind::Orphan, 2, at(3));
        timers.insert(TimerKind::Orphan, 3, at(2));
        timers.insert(TimerKind::Initialize, 4, at(2));
        assert_eq!(timers.deadline(), at(2));
        assert_eq!(drain(&mut timers, at(1)), []);
        assert_eq!(
            drain(&mut timers, at(3)),
            [
                (TimerKind::Initialize, 4),
                (TimerKind::Orphan, 1),
                (TimerKind::Orphan, 3),
                (TimerKind::Orphan, 2)
            ]
        );
        assert_eq!(timers.deadline(), Instant::MAX);
    }

    #[test]
    fn whoever_has_no_deadline_waits_behind_all_who_have_one() {
        let mut timers = Timers::new();
        timers.insert(TimerKind::Orphan, 1, Instant::MAX);
        timers.insert(TimerKind::Orphan, 2, at(9));
        assert_eq!(timers.first(TimerKind::Orphan), Some(2));
        assert_eq!(drain(&mut timers, Instant::MAX), [(TimerKind::Orphan, 2)]);
        assert_eq!(timers.weight(TimerKind::Orphan), 1);
    }

    #[test]
    fn the_memory_of_many_is_given_back() {
        let mut timers = Timers::new();
        let timer_keys: Vec<_> =
            (0..1_000).map(|key| timers.insert(TimerKind::Orphan, key, at(1))).collect();
        assert!(timers.nodes.capacity() >= 1_000);
        for timer in timer_keys {
            timers.remove(timer);
        }
        assert!(timers.nodes.capacity() <= shrink::CAPACITY_MIN, "{}", timers.nodes.capacity());
    }

    #[test]
    fn leaving_from_the_middle_keeps_the_order_and_frees_the_node() {
        let mut timers = Timers::new();
        timers.insert(TimerKind::Orphan, 1, at(1));
        let middle = timers.insert(TimerKind::Orphan, 2, at(1));
        timers.insert(TimerKind::Orphan, 3, at(1));
        timers.remove(middle);
        let reused = timers.insert(TimerKind::Orphan, 4, at(1));
        assert_eq!(reused, middle);
        let order: Vec<_> = drain(&mut timers, at(1)).into_iter().map(|(_, key)| key).collect();
        assert_eq!(order, [1, 3, 4]);
    }
}
