//! Faults: what goes wrong, and how often.

use std::collections::BTreeMap;
use std::fmt;

use super::chance::Chance;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection breaks before its first byte comes.
    CutEarly,
    /// A connection breaks some bytes later, mostly in the middle of an event.
    CutMidway,
    /// A connection breaks after all was written, and before it was read.
    CutUnread,
    /// The client is gone, and the server is not told.
    HalfOpen,
    /// The server has lost the connection, and the client is not told.
    Deaf,
    /// A reader is slow.
    Slow,
    /// A reader takes nothing for a long time.
    Stalled,
    /// A POST without a request is lost.
    PostLost,
    /// A POST without a request comes twice.
    PostDoubled,
    /// A client resumes after an old event, though it has seen more.
    Old,
    /// A client resumes after an event that has not been yet.
    Future,
    /// A client resumes after an event of another session.
    Foreign,
    /// A client opens more GETs than it needs.
    ManyGets,
    /// A client sends a request a second time, under the same id.
    Duplicate,
    /// A client cancels what it asked for, or what is over.
    Cancel,
    /// The driver gives a stream up.
    Abandon,
    /// A client deletes its session in the middle.
    Delete,
    /// A client, or the driver, sends what must be refused.
    Wrong,
    /// Whoever runs a session ends it.
    Shutdown,
    /// A client speaks before its session is initialized.
    Eager,
    /// A client stays away for a long time.
    Absent,
    /// A client answers what the backend asked twice, or not at all.
    BadAnswer,
    /// A client sends many requests at once.
    Rush,
    /// A message is too large.
    Huge,
    /// The backend answers late.
    Late,
    /// The backend never answers.
    Never,
    /// The backend answers twice.
    Twice,
    /// The backend answers a request that nobody made.
    Unknown,
    /// The backend says much at once.
    Burst,
    /// The backend does not wait when it is held up.
    Impolite,
    /// The backend has connections closed.
    Polling,
    /// The backend dies.
    Dies,
    /// The process dies, and goes on from a snapshot.
    Crash,
    /// What is due at one instant happens in another order.
    Reorder,
    /// The clock goes back a little.
    Skew,
}

/// Every fault, how often it may happen in a thousand times, at most, and as what it is
/// counted when it strikes.
const FAULTS: [(Fault, u32, &str); 35] = [
    (Fault::CutEarly, 120, "drops: before the first byte"),
    (Fault::CutMidway, 300, "drops: in the middle of an event"),
    (Fault::CutUnread, 120, "drops: written and not read"),
    (Fault::HalfOpen, 120, "drops: half-open"),
    (Fault::Deaf, 80, "drops: unknown to the client"),
    (Fault::Slow, 300, "reads: slow"),
    (Fault::Stalled, 80, "reads: stalled"),
    (Fault::PostLost, 200, "posts: lost"),
    (Fault::PostDoubled, 200, "posts: doubled"),
    (Fault::Old, 50, "resumes: old id"),
    (Fault::Future, 30, "resumes: future id"),
    (Fault::Foreign, 30, "resumes: foreign id"),
    (Fault::ManyGets, 60, "gets: more than needed"),
    (Fault::Duplicate, 60, "requests: doubled"),
    (Fault::Cancel, 120, "cancellations: at whim"),
    (Fault::Abandon, 30, "requests: abandoned"),
    (Fault::Delete, 4, "sessions: deleted in the middle"),
    (Fault::Wrong, 100, "wrong inputs"),
    (Fault::Shutdown, 3, "sessions: shut down"),
    (Fault::Eager, 300, "messages: before the session begins"),
    (Fault::Absent, 200, "resumes: after a long time"),
    (Fault::BadAnswer, 200, "questions: answered never, or twice"),
    (Fault::Rush, 150, "requests: in a rush"),
    (Fault::Huge, 40, "messages: too large"),
    (Fault::Late, 200, "answers: late"),
    (Fault::Never, 100, "answers: never"),
    (Fault::Twice, 100, "answers: twice"),
    (Fault::Unknown, 50, "answers: to nobody"),
    (Fault::Burst, 150, "messages: in a burst"),
    (Fault::Impolite, 700, "senders: not waiting"),
    (Fault::Polling, 100, "connections: closed to poll"),
    (Fault::Dies, 8, "backends: dead"),
    (Fault::Crash, 900, "restarts"),
    (Fault::Reorder, 700, "happenings: reordered"),
    (Fault::Skew, 50, "clocks: gone back"),
];

impl Fault {
    /// Returns as what it is counted when it strikes.
    pub(super) fn name(self) -> &'static str {
        let known = FAULTS.into_iter().find(|(fault, ..)| *fault == self);
        known.map_or("", |(_, _, name)| name)
    }

    /// Returns as what all of them are counted.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        FAULTS.into_iter().map(|(_, _, name)| name)
    }
}

/// How often each fault happens, in a thousand times.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Faults(BTreeMap<Fault, u32>);

impl Faults {
    /// Draws how often each happens: one in four never does.
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let rate = |(fault, most, _)| {
            let rate = if chance.strikes(250) { 0 } else { chance.between(1, u64::from(most)) };
            (fault, u32::try_from(rate).unwrap_or(0))
        };
        Self(FAULTS.into_iter().map(rate).filter(|(_, rate)| *rate > 0).collect())
    }

    /// Returns how often a fault happens.
    #[must_use]
    pub fn rate(&self, fault: Fault) -> u32 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// Returns those that happen at all.
    #[must_use]
    pub fn present(&self) -> Vec<Fault> {
        self.0.keys().copied().collect()
    }

    /// Lets one never happen.
    pub fn remove(&mut self, fault: Fault) {
        self.0.remove(&fault);
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_drawn_and_can_be_left_out() {
        let all = (0..100).flat_map(|seed| Faults::draw(&mut Chance::new(seed, 0, 0)).present());
        let mut all: Vec<Fault> = all.collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), FAULTS.len());
        let mut faults = Faults::draw(&mut Chance::new(3, 0, 0));
        for fault in faults.present() {
            faults.remove(fault);
            assert_eq!(faults.rate(fault), 0);
        }
        assert_eq!(faults, Faults::default());
    }
}
