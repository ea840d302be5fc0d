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

/// Every fault, and how often it may happen in a thousand times, at most.
const FAULTS: [(Fault, u32); 35] = [
    (Fault::CutEarly, 120),
    (Fault::CutMidway, 300),
    (Fault::CutUnread, 120),
    (Fault::HalfOpen, 120),
    (Fault::Deaf, 80),
    (Fault::Slow, 300),
    (Fault::Stalled, 80),
    (Fault::PostLost, 200),
    (Fault::PostDoubled, 200),
    (Fault::Old, 50),
    (Fault::Future, 30),
    (Fault::Foreign, 30),
    (Fault::ManyGets, 60),
    (Fault::Duplicate, 60),
    (Fault::Cancel, 120),
    (Fault::Abandon, 30),
    (Fault::Delete, 4),
    (Fault::Wrong, 100),
    (Fault::Shutdown, 3),
    (Fault::Eager, 300),
    (Fault::Absent, 200),
    (Fault::BadAnswer, 200),
    (Fault::Rush, 150),
    (Fault::Huge, 40),
    (Fault::Late, 200),
    (Fault::Never, 100),
    (Fault::Twice, 100),
    (Fault::Unknown, 50),
    (Fault::Burst, 150),
    (Fault::Impolite, 700),
    (Fault::Polling, 100),
    (Fault::Dies, 8),
    (Fault::Crash, 900),
    (Fault::Reorder, 700),
    (Fault::Skew, 50),
];

/// How often each fault happens, in a thousand times.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Faults(BTreeMap<Fault, u32>);

impl Faults {
    /// Draws how often each happens: one in four never does.
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let rate = |(fault, most)| {
            let rate = if chance.strikes(250) { 0 } else { chance.between(1, u64::from(most)) };
            (fault, u32::try_from(rate).unwrap_or(0))
        };
        Self(FAULTS.into_iter().map(rate).filter(|(_, rate)| *rate > 0).collect())
    }

    /// Returns how often a fault happens.
    pub(super) fn rate(&self, fault: Fault) -> u32 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// Returns those that happen at all.
    #[must_use]
    pub fn present(&self) -> Vec<Fault> {
        self.0.keys().copied().collect()
    }

    /// Lets one never happen.
    pub(super) fn remove(&mut self, fault: Fault) {
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
