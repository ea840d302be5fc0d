//! The guard itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpgid, kill_process, kill_process_group},
};
use tokio::signal::unix::{SignalKind, signal};

use super::table::{ProcessEntry, ProcessTable};

/// Is the guard, until stdin ends: the whole work of the process that
/// [`WatchdogCommand`](super::WatchdogCommand) starts.
///
/// It reads which children there are, and kills those that are left when its stdin ends, with
/// all that they have started. It does not listen to signals that are meant to end it, since
/// it must be the last to go.
///
/// The first line is a number that the marks of all children begin with, in hexadecimal. The
/// others are `+ CHILD GROUP` for a child that is about to start, `+ CHILD GROUP PID` for one
/// that has started, and `- CHILD` for one that has ended.
///
/// # Errors
///
/// The signals cannot be caught.
pub fn run_watchdog() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let ignored = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ];
    for kind in ignored {
        // A signal that was caught once never takes its default action again.
        drop(signal(kind)?);
    }
    // Keeps no file system from being unmounted.
    std::env::set_current_dir("/")?;
    let left = RemainingChildren::read(io::stdin().lock());
    // Rejoin may have been killed while it started a child, which joins its group late.
    for _ in 0..KILL_ROUNDS {
        if !left.kill() {
            break;
        }
        runtime.block_on(tokio::time::sleep(KILL_INTERVAL));
    }
    Ok(())
}

/// How often processes are killed that were there a moment ago.
const KILL_ROUNDS: usize = 50;

/// How long to wait in between.
const KILL_INTERVAL: Duration = Duration::from_millis(20);

/// The children that are left.
#[derive(Debug, Default, PartialEq)]
struct RemainingChildren {
    /// `None` where the first line could not be read.
    instance: Option<u64>,
    /// Group and process id, by number; no process id while a child is being started.
    children: BTreeMap<u64, (i32, Option<i32>)>,
}

impl RemainingChildren {
    /// Returns what is left at the end of `input`, however it ends.
    fn read(input: impl BufRead) -> Self {
        let mut lines = input.lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let mut left = Self { instance: u64::from_str_radix(&first, 16).ok(), ..Self::default() };
        for line in lines {
            left.apply(&line);
        }
        left
    }

    fn apply(&mut self, line: &str) -> Option<()> {
        // ProcessEntry 1 is init, and what is below it would be all processes.
        let id = |text: &str| text.parse().ok().filter(|id: &i32| *id > 1);
        let mut words = line.split(' ');
        let sign = words.next()?;
        let child = words.next()?.parse().ok()?;
        match sign {
            "+" => {
                let group = id(words.next()?)?;
                self.children.insert(child, (group, words.next().and_then(id)));
            }
            "-" => {
                self.children.remove(&child);
            }
            _ => {}
        }
        Some(())
    }

    /// Kills what is there of the children. Returns whether there may be something left.
    fn kill(&self) -> bool {
        let table = ProcessTable::read(|_| true);
        if let Ok(table) = &table
            && !table.is_empty()
        {
            let members = self.processes(table);
            for process in &members {
                process.signal(Signal::KILL);
            }
            return !members.is_empty();
        }
        let killed = self.children.values().map(|child| kill_by_id(*child));
        // All of them, and not only up to the first one that is there.
        let is_there = killed.fold(false, |any, is_there| any | is_there);
        table.is_err() || is_there
    }

    /// Returns all processes of the children. The id of a group alone does not say that it is
    /// still the same group, unless its child is only about to start in it.
    fn processes(&self, table: &ProcessTable) -> Vec<ProcessEntry> {
        let (mut ids, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for (group, id) in self.children.values() {
            match id {
                Some(id) => ids.insert(*id),
                None => groups.insert(*group),
            };
        }
        let is_root = |process: &ProcessEntry| {
            let instance = process.mark.map(|mark| mark.instance);
            ids.contains(&process.id)
                || groups.contains(&process.group)
                || (instance.is_some() && instance == self.instance)
        };
        table.trees_and_groups(is_root, |_| true)
    }
}

/// Kills a child and its group where the system does not say which processes there are.
/// Returns whether there was anything.
fn kill_by_id((group, id): (i32, Option<i32>)) -> bool {
    let kill_group = |group| kill_process_group(group, Signal::KILL) != Err(Errno::SRCH);
    let mut is_there = Pid::from_raw(group).is_some_and(kill_group);
    if let Some(id) = id.and_then(Pid::from_raw) {
        // It may have left its group for one of its own, but another's is not its own.
        let is_own = |group: &Pid| *group == id;
        is_there |= getpgid(Some(id)).ok().filter(is_own).is_some_and(kill_group);
        is_there |= kill_process(id, Signal::KILL).is_ok();
    }
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_and_not_removed_is_left() {
        let input =
            "00000000000000ab\n+ 0 10\n+ 1 11\n- 0\n+ 2 0\n+ 3 1\n- 5\nx\n+ 4 12 13\n+ 1 11 14";
        let left = RemainingChildren::read(input.as_bytes());
        assert_eq!(left.instance, Some(0xab));
        assert_eq!(left.children, BTreeMap::from([(1, (11, Some(14))), (4, (12, Some(13)))]));
    }
}
