//! Main function of the watchdog process.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Write as _},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, kill_process_group},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

use super::super::table::{ProcessEntry, ProcessTable};

/// Runs the watchdog until stdin ends. This is the main function of the process that
/// [`WatchdogCommand`](super::WatchdogCommand) starts: call it before anything else, in no tokio
/// runtime.
///
/// It reads from stdin which children there are. When stdin ends, it kills those that are left,
/// with all processes that they have started, and names on stderr what survives that. It ignores
/// SIGHUP, SIGINT, SIGQUIT and SIGTERM, since it must outlive rejoin.
///
/// The first line is the instance number in the marks of all children, in hexadecimal. The other
/// lines are `+ CHILD` for a child that is about to start, `+ CHILD PID` for one that has started,
/// and `- CHILD` for one that has ended.
///
/// # Errors
///
/// The runtime cannot be created, the signal handlers cannot be installed, or the working
/// directory cannot be changed.
pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let ignored = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ];
    for kind in ignored {
        // Once a handler is installed, the signal never has its default action again.
        drop(signal(kind)?);
    }
    // So that no file system is kept from being unmounted.
    std::env::set_current_dir("/")?;
    let remaining = RemainingChildren::read(io::stdin().lock());
    runtime.block_on(kill_until_none_is_left(remaining));
    Ok(())
}

/// How long to look for processes that are left.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval before the second round of listing and killing processes. It doubles with each round.
const KILL_INTERVAL: Duration = Duration::from_millis(10);

async fn kill_until_none_is_left(mut remaining: RemainingChildren) {
    let deadline = Instant::now() + KILL_TIMEOUT;
    let mut interval = KILL_INTERVAL;
    loop {
        let left = remaining.kill();
        // Rejoin may have been killed while it started a child, which is found only once it has
        // executed its command.
        if left.is_empty() && remaining.starting.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            if !left.is_empty() {
                // Nothing is left that could report an error.
                let _ = writeln!(io::stderr(), "rejoin: processes survived SIGKILL: {left:?}");
            }
            return;
        }
        sleep(interval).await;
        interval *= 2;
    }
}

/// The children that have not ended.
#[derive(Debug, Default, PartialEq)]
struct RemainingChildren {
    /// `None` if the first line could not be parsed.
    instance: Option<u64>,
    /// The children that were being started, and have not been found since.
    starting: BTreeSet<u64>,
    /// The process id of each other child, which is also that of its group.
    started: BTreeMap<u64, i32>,
}

impl RemainingChildren {
    /// Reads the input to its end, or to an error, and returns the children that are left.
    fn read(input: impl BufRead) -> Self {
        let mut lines = input.lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let mut remaining =
            Self { instance: u64::from_str_radix(&first, 16).ok(), ..Self::default() };
        for line in lines {
            remaining.apply(&line);
        }
        remaining
    }

    /// Applies a line. Ignores an invalid one.
    fn apply(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let sign = words.next()?;
        let child = words.next()?.parse().ok()?;
        match (sign, words.next()) {
            ("+", None) => {
                self.starting.insert(child);
            }
            ("+", Some(id)) => {
                // Process 1 is init, and smaller ids would address several processes.
                let id = id.parse().ok().filter(|id: &i32| *id > 1)?;
                self.starting.remove(&child);
                self.started.insert(child, id);
            }
            ("-", _) => {
                self.starting.remove(&child);
                self.started.remove(&child);
            }
            _ => {}
        }
        Some(())
    }

    /// Kills the processes of the children. Returns the ids of those that were left.
    fn kill(&mut self) -> Vec<i32> {
        let ids: BTreeSet<i32> = self.started.values().copied().collect();
        match ProcessTable::read(|_| true) {
            Ok(table) if !table.is_empty() => {
                let found = self.processes(&table, &ids);
                for process in &found {
                    process.signal(Signal::KILL);
                    if let Some(child) = self.child(process) {
                        self.starting.remove(&child);
                    }
                }
                found.iter().map(|process| process.id).collect()
            }
            // Processes cannot be listed.
            Ok(_) | Err(_) => ids.into_iter().filter(|id| kill_by_id(*id)).collect(),
        }
    }

    /// Returns all processes of the children.
    fn processes(&self, table: &ProcessTable, ids: &BTreeSet<i32>) -> Vec<ProcessEntry> {
        table.trees(|process| {
            ids.contains(&process.id)
                || ids.contains(&process.group)
                || self.child(process).is_some()
        })
    }

    /// Returns the child whose mark a process has.
    fn child(&self, process: &ProcessEntry) -> Option<u64> {
        process.mark.filter(|mark| Some(mark.instance) == self.instance).map(|mark| mark.child)
    }
}

/// Kills a child and its group. Returns whether there was a process.
fn kill_by_id(id: i32) -> bool {
    let Some(id) = Pid::from_raw(id) else { return false };
    let group = kill_process_group(id, Signal::KILL);
    let child = kill_process(id, Signal::KILL);
    [group, child].into_iter().any(|killed| killed != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_not_removed_children_remain() {
        let input = "00000000000000ab\n+ 0 10\n+ 1\n- 0\n+ 2 0\n+ 3 1\n- 5\nx\n+ 4 12\n+ 1 14\n+ 6";
        let remaining = RemainingChildren::read(input.as_bytes());
        assert_eq!(remaining.instance, Some(0xab));
        assert_eq!(remaining.started, BTreeMap::from([(1, 14), (4, 12)]));
        assert_eq!(remaining.starting, BTreeSet::from([6]));
    }
}
