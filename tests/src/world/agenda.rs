//! The agenda: what happens when. Time jumps from one entry to the next.

use std::collections::BTreeMap;

use rejoin_core::{Instant, RequestId};

use super::parcel::Parcel;

/// Numbers that name what is in a world.
pub(super) type ClientNo = usize;
pub(super) type ServerNo = usize;
pub(super) type LineNo = u64;
pub(super) type ReadingNo = u64;
pub(super) type TaskNo = u64;
pub(super) type Serial = u64;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A client goes on with its work.
    Act(ClientNo),
    /// Something that a client sent arrives.
    Arrive(Box<Parcel>),
    /// The body of a response looks for more to write.
    Pull(LineNo),
    /// A client reads.
    Read(LineNo),
    /// A server hears that a connection is gone.
    Noticed(LineNo),
    /// A client hears that a connection is gone.
    Lost(LineNo),
    /// A connection breaks in its own way.
    Break(LineNo),
    /// A client comes back to a stream.
    Resume(ReadingNo),
    /// A client has waited long enough.
    Patience(Serial),
    /// A backend says the next of what a task has to say.
    Say(ServerNo, TaskNo),
    /// A backend has waited long enough for an answer of the client.
    Withdraw(ServerNo, RequestId),
    /// A deadline of a session.
    Tick(ServerNo),
    /// The process of a session dies.
    Crash(ServerNo),
}

/// What happens when.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Instant, u64, u64), Happening>,
    count: u64,
}

/// What happens next.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) at: Instant,
    pub(super) happening: Happening,
    /// Whether it comes before something of the same instant that was entered first.
    pub(super) is_reordered: bool,
}

impl Agenda {
    /// Has something happen. Of what happens at one instant the lowest `turn` comes
    /// first, and of those what was entered first.
    pub(super) fn enter(&mut self, at: Instant, turn: u64, happening: Happening) {
        self.count += 1;
        self.entries.insert((at, turn, self.count), happening);
    }

    /// Takes the next entry out, if it is not after `end`.
    pub(super) fn next(&mut self, end: Instant) -> Option<Next> {
        let entry = self.entries.first_entry()?;
        let (at, turn, count) = *entry.key();
        if at > end {
            return None;
        }
        let happening = entry.remove();
        let later = self.entries.range((at, turn, count)..=(at, u64::MAX, u64::MAX));
        let is_reordered = later.into_iter().any(|((.., later), _)| *later < count);
        Some(Next { at, happening, is_reordered })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_come_by_time_then_turn_then_order() {
        let at = |seconds| Instant::new(Duration::from_secs(seconds));
        let mut agenda = Agenda::default();
        for (second, turn, line) in [(2, 0, 1), (1, 5, 2), (1, 0, 3), (1, 0, 4), (3, 0, 5)] {
            agenda.enter(at(second), turn, Happening::Pull(line));
        }
        let mut lines = Vec::new();
        while let Some(Next { happening: Happening::Pull(line), is_reordered, .. }) =
            agenda.next(at(2))
        {
            lines.push((line, is_reordered));
        }
        assert_eq!(lines, [(3, true), (4, true), (2, false), (1, false)]);
    }
}
