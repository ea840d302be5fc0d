//! Commits: which numbers a session has recorded, and which of them are committed.

use std::collections::BTreeMap;

use rejoin_core::{Action, Change, Config, Input, Record, StreamId};

use super::{Step, View};

/// What a session has recorded, and what of it is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    /// The last number.
    last: u64,
    /// The highest number that is committed.
    committed: u64,
    /// The number of the opening of each stream.
    openings: BTreeMap<StreamId, u64>,
    /// The numbers of events, by stream and index.
    events: BTreeMap<(StreamId, u64), u64>,
}

/// Returns the number of the last record of a step.
#[must_use]
pub fn last_record(step: &Step) -> Option<u64> {
    records(step).last().map(|record| record.sequence)
}

/// Iterates over the records of a step.
pub(super) fn records(step: &Step) -> impl Iterator<Item = &Record<u64>> {
    step.actions.iter().filter_map(|action| {
        let Action::Commit(record) = action else {
            return None;
        };
        Some(&**record)
    })
}

impl Commits {
    /// Follows a step.
    ///
    /// # Errors
    ///
    /// A record does not have the number that comes next, or there is one although the session does
    /// not commit.
    pub(super) fn follow(
        &mut self,
        config: &Config,
        before: &View,
        step: &Step,
    ) -> Result<(), String> {
        self.openings.retain(|stream, _| before.log(*stream).is_some());
        self.events.retain(|(stream, _), _| before.log(*stream).is_some());
        if let (Input::Committed { through }, Ok(())) = (&step.input, &step.result) {
            self.committed = self.committed.max(*through);
        }
        records(step).try_for_each(|record| self.add(config, record))
    }

    fn add(&mut self, config: &Config, record: &Record<u64>) -> Result<(), String> {
        if !config.commits {
            return Err(format!("the session does not commit, but {record:?}"));
        }
        let Record { sequence, change } = record;
        self.last += u64::from(change.takes_number());
        if *sequence != self.last {
            return Err(format!("the last number is {}, but {record:?}", self.last));
        }
        match change {
            Change::Opened { number, .. } => {
                self.openings.insert(StreamId::Request(*number), *sequence);
            }
            Change::Logged { stream, index, .. } => {
                self.events.insert((*stream, *index), *sequence);
            }
            Change::Missed { .. }
            | Change::Completed { .. }
            | Change::Cancelled { .. }
            | Change::RequestCancelled { .. }
            | Change::ServerRequestEnded { .. }
            | Change::TaskCreated { .. }
            | Change::Acknowledged { .. } => {}
        }
        Ok(())
    }

    /// Returns whether the opening of a stream is committed.
    pub(super) fn is_open(&self, stream: StreamId) -> bool {
        self.openings.get(&stream).is_none_or(|number| *number <= self.committed)
    }

    /// Returns whether an event is recorded and committed; `None` if it is not recorded.
    pub(super) fn is_committed(&self, stream: StreamId, index: u64) -> Option<bool> {
        self.events.get(&(stream, index)).map(|number| *number <= self.committed)
    }

    /// Returns whether an event of a stream is not committed.
    pub(super) fn has_uncommitted(&self, stream: StreamId) -> bool {
        let events = self.events.range((stream, 0)..=(stream, u64::MAX));
        events.into_iter().any(|(_, number)| *number > self.committed)
    }
}
