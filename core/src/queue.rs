//! Queues of what will be let go of: by a deadline, by a limit, or by both.

use alloc::vec::Vec;

use crate::{
    Instant, RequestId,
    session::{ConnectionKey, StreamKey},
};

/// What waits to be let go of.
///
/// The order of the variants is the order in which things fall due that have the
/// same deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entrant {
    Initialize,
    Reservation(StreamKey),
    Stall(ConnectionKey),
    StallLimit(ConnectionKey),
    Listen(RequestId),
    Orphan(StreamKey),
    Cancelled(RequestId),
    Untaken(StreamKey),
    Taken(StreamKey),
    Tombstone(u64),
    /// A stream whose log has an event. It has no deadline, but may be asked to
    /// make room.
    Eventful(StreamKey),
}

/// Names a queue, one for each kind of [`Entrant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Initialize,
    Reservation,
    Stall,
    StallLimit,
    Listen,
    Orphan,
    Cancelled,
    Untaken,
    Taken,
    Tombstone,
    Eventful,
}

const QUEUES: usize = Queue::Eventful as usize + 1;

/// A place in a queue: what [`Queues::leave`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

#[cfg(feature = "serde")]
impl Ticket {
    /// No place at all: a stand-in while a session is restored.
    pub(crate) const NONE: Self = Self(NONE);
}

/// All queues of a session, each ordered by deadline, then by entry.
///
/// Every kind has one timeout, so whoever enters usually goes to the end: all
/// operations take constant time then. Each queue is a doubly linked list
/// through one vector of nodes, so leaving from the middle is as cheap.
#[derive(Debug)]
pub(crate) struct Queues {
    nodes: Vec<Node>,
    free: u32,
    lists: [List; QUEUES],
    /// The deadline at the front of each queue.
    fronts: [Instant; QUEUES],
}

#[derive(Debug)]
struct Node {
    /// [`Instant::MAX`] if it never comes.
    due: Instant,
    entrant: Entrant,
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    front: u32,
    back: u32,
    len: u32,
}

const NONE: u32 = u32::MAX;

impl Entrant {
    fn queue(&self) -> Queue {
        match self {
            Self::Initialize => Queue::Initialize,
            Self::Reservation(_) => Queue::Reservation,
            Self::Stall(_) => Queue::Stall,
            Self::StallLimit(_) => Queue::StallLimit,
            Self::Listen(_) => Queue::Listen,
            Self::Orphan(_) => Queue::Orphan,
            Self::Cancelled(_) => Queue::Cancelled,
            Self::Untaken(_) => Queue::Untaken,
            Self::Taken(_) => Queue::Taken,
            Self::Tombstone(_) => Queue::Tombstone,
            Self::Eventful(_) => Queue::Eventful,
        }
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "a ticket names a node that is in use, and links lead to such nodes only"
)]
impl Queues {
    pub(crate) const fn new() -> Self {
        let empty = List { front: NONE, back: NONE, len: 0 };
        Self {
            nodes: Vec::new(),
            free: NONE,
            lists: [empty; QUEUES],
            fronts: [Instant::MAX; QUEUES],
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = self.fronts.iter().copied().min().unwrap_or(Instant::MAX);
        (due < Instant::MAX).then_some(due)
    }

    /// Returns what is due first, if it is due.
    pub(crate) fn first_due(&self, now: Instant) -> Option<&Entrant> {
        let due = self.deadline().filter(|due| *due <= now)?;
        let queue = self.fronts.iter().position(|front| *front == due)?;
        let front = self.lists[queue].front;
        Some(&self.nodes[front as usize].entrant)
    }

    /// Returns who is first in a queue.
    pub(crate) fn first(&self, queue: Queue) -> Option<&Entrant> {
        let front = self.lists[queue as usize].front;
        (front != NONE).then(|| &self.nodes[front as usize].entrant)
    }

    /// Returns the place of who is first in a queue.
    pub(crate) fn first_ticket(&self, queue: Queue) -> Option<Ticket> {
        let front = self.lists[queue as usize].front;
        (front != NONE).then_some(Ticket(front))
    }

    /// Returns how many are in a queue.
    pub(crate) fn len(&self, queue: Queue) -> usize {
        self.lists[queue as usize].len as usize
    }

    /// Returns the deadline of whoever holds `ticket`.
    pub(crate) fn due(&self, ticket: Ticket) -> Option<Instant> {
        let due = self.nodes[ticket.0 as usize].due;
        (due < Instant::MAX).then_some(due)
    }

    /// Goes through a queue from the front.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self, queue: Queue) -> impl Iterator<Item = (&Entrant, Option<Instant>)> {
        let mut at = self.lists[queue as usize].front;
        core::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.after;
            Some((&node.entrant, (node.due < Instant::MAX).then_some(node.due)))
        })
    }

    /// Lets `entrant` wait until `due`, for ever if there is none.
    pub(crate) fn enter(&mut self, entrant: Entrant, due: Option<Instant>) -> Ticket {
        let due = due.unwrap_or(Instant::MAX);
        let queue = entrant.queue() as usize;
        let mut before = self.lists[queue].back;
        while before != NONE && self.nodes[before as usize].due > due {
            before = self.nodes[before as usize].before;
        }
        let after = match before {
            NONE => self.lists[queue].front,
            _ => self.nodes[before as usize].after,
        };
        let node = Node { due, entrant, before, after };
        let at = self.place(node);
        match before {
            NONE => {
                self.lists[queue].front = at;
                self.fronts[queue] = due;
            }
            _ => self.nodes[before as usize].after = at,
        }
        match after {
            NONE => self.lists[queue].back = at,
            _ => self.nodes[after as usize].before = at,
        }
        self.lists[queue].len += 1;
        Ticket(at)
    }

    /// Takes whoever holds `ticket` out of the queue.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Entrant {
        let at = ticket.0;
        let free = Node {
            due: Instant::MAX,
            entrant: Entrant::Initialize,
            before: NONE,
            after: self.free,
        };
        let Node { entrant, before, after, .. } =
            core::mem::replace(&mut self.nodes[at as usize], free);
        self.free = at;
        let queue = entrant.queue() as usize;
        match before {
            NONE => {
                self.lists[queue].front = after;
                self.fronts[queue] = match after {
                    NONE => Instant::MAX,
                    _ => self.nodes[after as usize].due,
                };
            }
            _ => self.nodes[before as usize].after = after,
        }
        match after {
            NONE => self.lists[queue].back = before,
            _ => self.nodes[after as usize].before = before,
        }
        self.lists[queue].len -= 1;
        entrant
    }

    fn place(&mut self, node: Node) -> u32 {
        if self.free == NONE {
            self.nodes.push(node);
            // A session's limits keep it far below 2^32 nodes: more would not
            // fit into memory.
            #[expect(clippy::cast_possible_truncation, reason = "see above")]
            let at = (self.nodes.len() - 1) as u32;
            at
        } else {
            let at = self.free;
            self.free = self.nodes[at as usize].after;
            self.nodes[at as usize] = node;
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn pop_due(queues: &mut Queues, now: Instant) -> Option<Entrant> {
        let queue = queues.first_due(now)?.queue();
        let first = queues.first_ticket(queue)?;
        Some(queues.leave(first))
    }

    #[test]
    fn what_is_due_comes_out_by_deadline_then_kind_then_entry() {
        let mut queues = Queues::new();
        queues.enter(Entrant::Tombstone(1), Some(at(2)));
        queues.enter(Entrant::Tombstone(2), Some(at(3)));
        queues.enter(Entrant::Tombstone(3), Some(at(2)));
        queues.enter(Entrant::Initialize, Some(at(2)));
        assert_eq!(queues.deadline(), Some(at(2)));
        assert_eq!(queues.first_due(at(1)), None);
        let order: Vec<_> = core::iter::from_fn(|| pop_due(&mut queues, at(3))).collect();
        assert_eq!(
            order,
            [
                Entrant::Initialize,
                Entrant::Tombstone(1),
                Entrant::Tombstone(3),
                Entrant::Tombstone(2)
            ]
        );
        assert_eq!(queues.deadline(), None);
    }

    #[test]
    fn whoever_has_no_deadline_waits_behind_all_who_have_one() {
        let mut queues = Queues::new();
        queues.enter(Entrant::Tombstone(1), None);
        queues.enter(Entrant::Tombstone(2), Some(at(9)));
        assert_eq!(queues.first(Queue::Tombstone), Some(&Entrant::Tombstone(2)));
        assert_eq!(pop_due(&mut queues, Instant::MAX), Some(Entrant::Tombstone(2)));
        assert_eq!(pop_due(&mut queues, Instant::MAX), None);
        assert_eq!(queues.len(Queue::Tombstone), 1);
    }

    #[test]
    fn leaving_from_the_middle_keeps_the_order_and_frees_the_node() {
        let mut queues = Queues::new();
        queues.enter(Entrant::Tombstone(1), None);
        let middle = queues.enter(Entrant::Tombstone(2), None);
        queues.enter(Entrant::Tombstone(3), None);
        assert_eq!(queues.leave(middle), Entrant::Tombstone(2));
        let reused = queues.enter(Entrant::Tombstone(4), None);
        assert_eq!(reused, middle);
        let order: Vec<_> = core::iter::from_fn(|| {
            let first = queues.first_ticket(Queue::Tombstone)?;
            Some(queues.leave(first))
        })
        .collect();
        assert_eq!(order, [Entrant::Tombstone(1), Entrant::Tombstone(3), Entrant::Tombstone(4)]);
    }
}
