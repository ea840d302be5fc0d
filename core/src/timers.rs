//! Timers of a session, ordered by deadline.

use slab::Slab;

use crate::{Instant, capacity};

/// What a timer is for. With equal deadlines, earlier variants fire first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKind {
    /// The response to `initialize`; its key is unused.
    Initialize,
    /// Streams that hold a sender, until they are stuck.
    Hold,
    /// A session above its limit, until a stream is stuck or a reader stops; its key is unused.
    Shrink,
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
}

const KINDS: usize = TimerKind::ALL.len();

impl TimerKind {
    const ALL: [Self; 13] = [
        Self::Initialize,
        Self::Hold,
        Self::Shrink,
        Self::StallLongest,
        Self::Stall,
        Self::StallShortest,
        Self::StallDisconnect,
        Self::Delivery,
        Self::Response,
        Self::Orphan,
        Self::Cancelled,
        Self::RetainedUnacknowledged,
        Self::RetainedAcknowledged,
    ];
}

/// A key into the table that a timer's kind implies.
pub(crate) type Key = u32;

/// A handle of a timer, for [`Timers::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

/// All timers of a session: for each kind a list, ordered by deadline, then by insertion.
///
/// Most kinds have one timeout, so a new timer usually goes to the back of its list, and all
/// operations take constant time. Otherwise insertion walks past timers with later deadlines:
/// of [`TimerKind::Stall`], those of readers with longer timeouts; of other kinds, those that
/// start after the retry of a client. The lists are doubly linked through one slab of nodes, so
/// removal from the middle takes constant time, too.
#[derive(Debug)]
pub(crate) struct Timers {
    /// The first nodes are the heads of the lists, by kind: a list is circular, so that neither
    /// insertion nor removal has to distinguish its ends.
    nodes: Slab<Node>,
    /// The total weight of each list.
    weights: [u32; KINDS],
    /// A lower bound of all deadlines, including those that are kept elsewhere.
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

#[expect(clippy::indexing_slicing, reason = "handles and links refer to occupied nodes only")]
impl Timers {
    pub(crate) fn new() -> Self {
        let mut nodes = Slab::with_capacity(KINDS);
        for kind in TimerKind::ALL {
            let head = kind as u32;
            // Before every other deadline, so that a search from the back ends here.
            let deadline = Instant::EPOCH;
            nodes.insert(Node { deadline, key: 0, kind, weight: 0, prev: head, next: head });
        }
        Self { nodes, weights: [0; KINDS], lower_bound: Instant::MAX }
    }

    /// Returns the earliest deadline; [`Instant::MAX`] is never.
    pub(crate) fn deadline(&self) -> Instant {
        self.fronts().map(|node| node.deadline).min().unwrap_or(Instant::MAX)
    }

    /// Iterates over the first timer of each kind.
    fn fronts(&self) -> impl Iterator<Item = &Node> {
        TimerKind::ALL.into_iter().filter_map(|kind| self.front(kind))
    }

    fn front(&self, kind: TimerKind) -> Option<&Node> {
        let head = kind as u32;
        let front = self.nodes[head as usize].next;
        (front != head).then(|| &self.nodes[front as usize])
    }

    /// Returns a lower bound of all deadlines, which costs less than the earliest one.
    #[inline]
    pub(crate) fn lower_bound(&self) -> Instant {
        self.lower_bound
    }

    /// Includes a deadline that is kept elsewhere in the lower bound.
    #[inline]
    pub(crate) fn lower_bound_to(&mut self, deadline: Instant) {
        self.lower_bound = self.lower_bound.min(deadline);
    }

    /// Removes and returns the earliest timer, if it is due. Its handle is then invalid. The
    /// lower bound no longer includes deadlines that are kept elsewhere.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(TimerKind, Key)> {
        self.lower_bound = self.deadline();
        if now < self.lower_bound || self.lower_bound == Instant::MAX {
            return None;
        }
        let Node { kind, key, .. } =
            *self.fronts().find(|node| node.deadline == self.lower_bound)?;
        self.remove(TimerKey(self.nodes[kind as usize].next));
        Some((kind, key))
    }

    /// Returns the key of the first timer of a kind.
    pub(crate) fn first(&self, kind: TimerKind) -> Option<Key> {
        self.front(kind).map(|front| front.key)
    }

    /// Returns the total weight of the timers of a kind: their number, where each weighs 1.
    pub(crate) fn weight(&self, kind: TimerKind) -> usize {
        self.weights[kind as usize] as usize
    }

    /// Returns the deadline of a timer.
    pub(crate) fn deadline_of(&self, timer: TimerKey) -> Instant {
        self.nodes[timer.0 as usize].deadline
    }

    /// Iterates over the timers of a kind, by deadline; `None` is never.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self, kind: TimerKind) -> impl Iterator<Item = (Key, Option<Instant>)> {
        let head = kind as u32;
        let mut at = self.nodes[head as usize].next;
        core::iter::from_fn(move || {
            if at == head {
                return None;
            }
            let node = &self.nodes[at as usize];
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
        let (prev, next) = self.neighbours(kind, deadline);
        let timer = self.nodes.insert(Node { deadline, key, kind, weight, prev, next });
        let timer = TimerKey(to_key(timer));
        self.link(timer, prev, next);
        self.weights[kind as usize] += u32::from(weight);
        self.lower_bound_to(deadline);
        timer
    }

    /// Moves a timer to the list of another kind, with the same deadline.
    pub(crate) fn change_kind(&mut self, timer: TimerKey, kind: TimerKind) {
        let node = self.nodes[timer.0 as usize];
        self.unlink(&node);
        let (prev, next) = self.neighbours(kind, node.deadline);
        self.nodes[timer.0 as usize] = Node { kind, prev, next, ..node };
        self.link(timer, prev, next);
        self.weights[kind as usize] += u32::from(node.weight);
    }

    /// Removes a timer.
    pub(crate) fn remove(&mut self, timer: TimerKey) {
        let node = self.nodes.remove(timer.0 as usize);
        self.unlink(&node);
        capacity::shrink_slab(&mut self.nodes);
    }

    /// Removes all timers of a kind.
    pub(crate) fn clear(&mut self, kind: TimerKind) {
        let head = kind as u32;
        while self.nodes[head as usize].next != head {
            self.remove(TimerKey(self.nodes[head as usize].next));
        }
    }

    /// Returns the nodes between which a new timer belongs.
    #[inline]
    fn neighbours(&self, kind: TimerKind, deadline: Instant) -> (u32, u32) {
        let mut next = kind as u32;
        let mut prev = self.nodes[next as usize].prev;
        while self.nodes[prev as usize].deadline > deadline {
            (prev, next) = (self.nodes[prev as usize].prev, prev);
        }
        (prev, next)
    }

    /// Links the neighbours of a node to it.
    #[inline]
    fn link(&mut self, timer: TimerKey, prev: u32, next: u32) {
        self.nodes[prev as usize].next = timer.0;
        self.nodes[next as usize].prev = timer.0;
    }

    /// Unlinks a node from the list of its kind.
    fn unlink(&mut self, node: &Node) {
        self.nodes[node.prev as usize].next = node.next;
        self.nodes[node.next as usize].prev = node.prev;
        self.weights[node.kind as usize] -= u32::from(node.weight);
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
