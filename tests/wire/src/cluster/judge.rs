//! What all clients have seen, and what was wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use rejoin_tests::kit::Coverage;
use tokio::time::{Instant, sleep};

use super::faults::{Fault, FaultLog};
use super::stamp::{EXECUTED, RECEIVED};

/// How a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A message never came.
    Loss,
    /// A message came twice, or after a later one.
    Duplicate,
    /// A message came on the stream of another call or session.
    WrongStream,
    /// An event id had two contents.
    TwoContents,
    /// A request got neither a response nor an error.
    Unsettled,
    /// A session was not found that nobody has ended.
    SessionLost,
    /// A call was executed twice, or though it was refused.
    Execution,
    /// A response had an unexpected status, or an error that no fault explains.
    Unexpected,
    /// A node, or what it uses, is not as before the round.
    Leak,
}

/// Collects what clients see.
#[derive(Debug)]
pub(super) struct Judge {
    started: Instant,
    pub(super) faults: FaultLog,
    counts: Mutex<Coverage>,
    calls: Mutex<Calls>,
    found: Mutex<BTreeMap<Violation, u64>>,
    messages: Mutex<Vec<String>>,
}

/// What is known of the calls of a round.
#[derive(Debug, Default)]
struct Calls {
    /// Those with a result.
    answered: BTreeSet<String>,
    /// Those that were only ever refused.
    refused: BTreeSet<String>,
}

/// How often the machine is watched.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// How late a process may be before leases and links of nodes are in danger.
const STARVED: Duration = Duration::from_millis(500);

impl Judge {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            faults: FaultLog::default(),
            counts: Mutex::default(),
            calls: Mutex::default(),
            found: Mutex::default(),
            messages: Mutex::default(),
        }
    }

    pub(super) fn hit(&self, kind: &'static str) {
        self.counts.lock().hit(kind);
    }

    pub(super) fn hits(&self, kind: &str) -> u64 {
        self.counts.lock().hits(kind)
    }

    /// Begins a fault. Returns its number.
    pub(super) fn begin_fault(&self, fault: Fault) -> usize {
        self.hit(fault.counter());
        self.faults.begin(fault)
    }

    /// Notices when this process does not run in time, since nodes may not either.
    pub(super) async fn watch_machine(&self) {
        loop {
            let began = Instant::now();
            sleep(WATCH_INTERVAL).await;
            if began.elapsed() > WATCH_INTERVAL + STARVED {
                self.faults.add(Fault::Starve, began);
                self.hit(Fault::Starve.counter());
            }
        }
    }

    /// Reports a violation.
    pub(super) fn report(&self, violation: Violation, what: &dyn fmt::Display) {
        *self.found.lock().entry(violation).or_default() += 1;
        let at = self.started.elapsed().as_secs_f32();
        let faults = self.faults.recent();
        self.messages.lock().push(format!("{at:.1} s {violation:?}: {what} (faults: {faults})"));
    }

    /// Returns the reports since the last time.
    pub(super) fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut *self.messages.lock())
    }

    /// Returns the number of violations, by kind.
    pub(super) fn found(&self) -> BTreeMap<Violation, u64> {
        self.found.lock().clone()
    }

    pub(super) fn on_answered(&self, call: &str) {
        self.calls.lock().answered.insert(call.to_owned());
    }

    pub(super) fn on_refused(&self, call: &str) {
        self.calls.lock().refused.insert(call.to_owned());
    }

    /// Compares what clients know of their calls with what servers have executed, which is removed.
    pub(super) fn check_executed(&self, record: &Path) -> Result<()> {
        let text = fs::read_to_string(record).unwrap_or_default();
        fs::write(record, "")?;
        let mut times: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            if let (Some(what), Some(name)) = (words.next(), words.next()) {
                *times.entry((what, name)).or_default() += 1;
            }
        }
        for ((what, name), times) in &times {
            if *times > 1 {
                let what = format!("{name} was {what} {times} times");
                self.report(Violation::Execution, &what);
            }
            self.hit(if *what == EXECUTED { "calls: executed" } else { RECEIVED });
        }
        let calls = std::mem::take(&mut *self.calls.lock());
        let is_executed = |call: &String| times.contains_key(&(EXECUTED, call));
        for call in calls.answered.iter().filter(|call| !is_executed(call)) {
            self.report(
                Violation::Execution,
                &format!("{call} has a result, but was not executed"),
            );
        }
        for call in calls.refused.iter().filter(|call| is_executed(call)) {
            self.report(Violation::Execution, &format!("{call} was refused, and executed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_executed_once_unless_they_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let record = directory.path().join("record");
        let judge = Judge::new();
        let check = |answered: &str, refused: &str, executed: &str| {
            judge.on_answered(answered);
            judge.on_refused(refused);
            fs::write(&record, executed).unwrap();
            judge.check_executed(&record).unwrap();
            judge.take_messages().len()
        };
        assert_eq!(check("a", "b", "executed a 1\nexecuted c 1\n"), 0);
        assert_eq!(check("a", "b", "executed a 1\nexecuted c 1\nexecuted c 2\n"), 1);
        assert_eq!(check("a", "b", "executed a 1\nexecuted b 1\n"), 1);
        assert_eq!(check("a", "b", ""), 1);
    }
}
