//! Timers of a session, ordered by deadline, and lists of eviction candidates.

use slab::Slab;

use crate::{Instant, capacity};

/// What a timer is for. With equal deadlines, earlier variants fire first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKind {
    /// The response to `initialize`; its key is unused.
    Initialize,
    /// Reserved streams.
    Reservation,
    /// Streams that hold a sender, until they are stuck.
    Hold,
    /// Connections whose stall timeout is the longest, as it is at first.
    StallLongest,
    /// Connections whose stall timeout is in between. With equal deadlines, a longer timeout
    /// began earlier, so these fire after the longest and before the shortest.
    Stall,
    /// Connections whose stall timeout is the shortest.
    StallShortest,
    /// Connections that are cut if their stalled reader acknowledges nothing.
    StallDisconnect,
    /// Undelivered server requests.
    Delivery,
    /// Delivered server requests without a response.
    Response,
    /// Open streams without a connection.
    Orphan,
    /// Reserved ids of cancelled requests.
    Cancelled,
    /// Retained streams that are not fully acknowledged.
    RetainedUnacknowledged,
    /// Fully acknowledged retained streams.
    RetainedAcknowledged,
    /// Streams whose oldest event was acknowledged. No deadline; evicted from first when the
    /// session exceeds its byte limit.
    FrontAcknowledged,
    /// Streams whose log has a message. No deadline; evicted from when the session exceeds its
    /// byte limit.
    NonEmpty,
}

const KINDS: usize = TimerKind::NonEmpty as usize + 1;

/// Number of kinds with deadlines, which come first.
const TIMED: usize = TimerKind::RetainedAcknowledged as usize + 1;

/// A key into the table that a timer's kind implies.
pub(crate) type Key = u32;

/// A handle of a timer, for [`Timers::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

impl TimerKey {
    /// The null handle, in place of the handle of a timer that has fired.
    pub(crate) const NONE: Self = Self(NONE);
}

/// All timers of a session: for each kind a list, ordered by deadline, then by insertion.
///
/// Most kinds have one timeout, so a new timer usually goes to the back of its list, and all
/// operations take constant time. Otherwise insertion walks past timers with later deadlines:
/// of [`TimerKind::Stall`], those of readers with longer timeouts; of other kinds, those that
/// start after the retry of a client. Each list is doubly linked through one slab of nodes, so
/// removal from the middle takes constant time, too.
#[derive(Debug)]
pub(crate) struct Timers {
    nodes: Slab<Node>,
    lists: [List; KINDS],
    /// A lower bound of all deadlines.
    lower_bound: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// [`Instant::MAX`] is never.
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

#[expect(clippy::indexing_slicing, reason = "handles and links refer to occupied nodes only")]
impl Timers {
    pub(crate) const fn new() -> Self {
        let empty = List { front: NONE, back: NONE, weight: 0 };
        Self { nodes: Slab::new(), lists: [empty; KINDS], lower_bound: Instant::MAX }
    }

    /// Returns the earliest deadline; [`Instant::MAX`] is never.
    pub(crate) fn deadline(&self) -> Instant {
        self.fronts().map(|node| node.deadline).min().unwrap_or(Instant::MAX)
    }

    /// Iterates over the first timer of each kind that has deadlines.
    fn fronts(&self) -> impl Iterator<Item = &Node> {
        let timed = self.lists.iter().take(TIMED);
        timed.filter_map(|list| self.nodes.get(list.front as usize))
    }

    /// Returns a lower bound of all deadlines, which costs less than the earliest one.
    pub(crate) fn lower_bound(&self) -> Instant {
        self.lower_bound
    }

    /// Removes and returns the earliest timer, if it is due. Its handle is then invalid.
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

    /// Returns the key of the first timer of a kind.
    pub(crate) fn first(&self, kind: TimerKind) -> Option<Key> {
        let front = self.lists[kind as usize].front;
        (front != NONE).then(|| self.nodes[front as usize].key)
    }

    /// Returns the total weight of the timers of a kind: their number, where each weighs 1.
    pub(crate) fn weight(&self, kind: TimerKind) -> usize {
        self.lists[kind as usize].weight as usize
    }

    /// Returns the deadline of a timer.
    pub(crate) fn deadline_of(&self, timer: TimerKey) -> Instant {
        self.nodes[timer.0 as usize].deadline
    }

    /// Iterates over the timers of a kind, by deadline; `None` is never.
    pub(crate) fn iter(&self, kind: TimerKind) -> impl Iterator<Item = (Key, Option<Instant>)> {
        let mut at = self.lists[kind as usize].front;
        core::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.next;
            Some((node.key, node.deadline.finite()))
        })
    }

    /// Inserts a timer of weight 1; [`Instant::MAX`] never fires.
    pub(crate) fn insert(&mut self, kind: TimerKind, key: Key, deadline: Instant) -> TimerKey {
        self.insert_weighted(kind, key, deadline, 1)
    }

    /// Inserts a timer with a weight.
    pub(crate) fn insert_weighted(
        &mut self,
        kind: TimerKind,
        key: Key,
        deadline: Instant,
        weight: usize,
    ) -> TimerKey {
        let weight = u16::try_from(weight).unwrap_or(u16::MAX);
        self.lower_bound = self.lower_bound.min(deadline);
        let mut prev = self.lists[kind as usize].back;
        while prev != NONE && self.nodes[prev as usize].deadline > deadline {
            prev = self.nodes[prev as usize].prev;
        }
        let next = match prev {
            NONE => self.lists[kind as usize].front,
            _ => self.nodes[prev as usize].next,
        };
        let at = to_key(self.nodes.insert(Node { deadline, key, kind, weight, prev, next }));
        let list = &mut self.lists[kind as usize];
        list.weight += u32::from(weight);
        match prev {
            NONE => list.front = at,
            _ => self.nodes[prev as usize].next = at,
        }
        match next {
            NONE => list.back = at,
            _ => self.nodes[next as usize].prev = at,
        }
        TimerKey(at)
    }

    /// Removes a timer; [`TimerKey::NONE`] has no effect.
    pub(crate) fn remove(&mut self, timer: TimerKey) {
        if timer == TimerKey::NONE {
            return;
        }
        let node = self.nodes.remove(timer.0 as usize);
        let Node { kind, weight, prev, next, .. } = node;
        match prev {
            NONE => self.lists[kind as usize].front = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NONE => self.lists[kind as usize].back = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        self.lists[kind as usize].weight -= u32::from(weight);
        capacity::shrink_slab(&mut self.nodes);
    }

    /// Removes all timers of a kind.
    pub(crate) fn clear(&mut self, kind: TimerKind) {
        while self.lists[kind as usize].front != NONE {
            self.remove(TimerKey(self.lists[kind as usize].front));
        }
    }
}

/// Converts a slab index, which a session's limits keep far below 2^32.
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

    /// Removes and returns all due timers, in order.
    fn drain(timers: &mut Timers, now: Instant) -> Vec<(TimerKind, Key)> {
        core::iter::from_fn(|| timers.pop_due(now)).collect()
    }

    #[test]
    fn due_timers_are_ordered_by_deadline_then_kind_then_insertion() {
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
    fn entries_without_deadline_sort_last() {
        let mut timers = Timers::new();
        timers.insert(TimerKind::Orphan, 1, Instant::MAX);
        timers.insert(TimerKind::Orphan, 2, at(9));
        assert_eq!(timers.first(TimerKind::Orphan), Some(2));
        assert_eq!(drain(&mut timers, Instant::MAX), [(TimerKind::Orphan, 2)]);
        assert_eq!(timers.weight(TimerKind::Orphan), 1);
    }

    #[test]
    fn memory_is_released_after_a_burst() {
        let mut timers = Timers::new();
        let timer_keys: Vec<_> =
            (0..1_000).map(|key| timers.insert(TimerKind::Orphan, key, at(1))).collect();
        assert!(timers.nodes.capacity() >= 1_000);
        for timer in timer_keys {
            timers.remove(timer);
        }
        assert!(timers.nodes.capacity() <= capacity::CAPACITY_MIN, "{}", timers.nodes.capacity());
    }

    #[test]
    fn removal_from_the_middle_keeps_the_order_and_frees_the_node() {
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
