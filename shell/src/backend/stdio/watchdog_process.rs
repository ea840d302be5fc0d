//! Main function of the watchdog process.

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

/// Runs the watchdog until stdin ends. This is the main function of the process that
/// [`WatchdogCommand`](super::WatchdogCommand) starts.
///
/// It reads from stdin which children there are. When stdin ends, it kills those that are left,
/// with all processes that they have started. It ignores SIGHUP, SIGINT, SIGQUIT and SIGTERM,
/// since it must outlive rejoin.
///
/// The first line is the instance number in the marks of all children, in hexadecimal. The other
/// lines are `+ CHILD GROUP` for a child that is about to start, `+ CHILD GROUP PID` for one that
/// has started, and `- CHILD` for one that has ended.
///
/// # Errors
///
/// The runtime cannot be created, the signal handlers cannot be installed, or the working
/// directory cannot be changed.
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
        // Once a handler is installed, the signal never has its default action again.
        drop(signal(kind)?);
    }
    // So that no file system is kept from being unmounted.
    std::env::set_current_dir("/")?;
    let remaining = RemainingChildren::read(io::stdin().lock());
    // Several rounds: rejoin may have been killed while it started a child, which joins its group
    // only later.
    for _ in 0..KILL_ROUNDS {
        if !remaining.kill() {
            break;
        }
        runtime.block_on(tokio::time::sleep(KILL_INTERVAL));
    }
    Ok(())
}

/// Maximum number of rounds of listing and killing processes.
const KILL_ROUNDS: usize = 50;

/// Interval between rounds.
const KILL_INTERVAL: Duration = Duration::from_millis(20);

/// The children that have not ended.
#[derive(Debug, Default, PartialEq)]
struct RemainingChildren {
    /// `None` if the first line could not be parsed.
    instance: Option<u64>,
    /// Process group and process id, by number. There is no process id while a child is being
    /// started.
    children: BTreeMap<u64, (i32, Option<i32>)>,
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
        // Process 1 is init, and smaller ids would address several processes.
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

    /// Kills the processes of the children. Returns whether some may be left.
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
        // Not `any`, which would stop at the first one.
        let is_there = killed.fold(false, |any, is_there| any | is_there);
        table.is_err() || is_there
    }

    /// Returns all processes of the children. The id of a group may have been reused, unless its
    /// child is only about to start in it.
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

/// Kills a child and its group by their ids, where processes cannot be listed. Returns whether
/// there was a process.
fn kill_by_id((group, id): (i32, Option<i32>)) -> bool {
    let kill_group = |group| kill_process_group(group, Signal::KILL) != Err(Errno::SRCH);
    let mut is_there = Pid::from_raw(group).is_some_and(kill_group);
    if let Some(id) = id.and_then(Pid::from_raw) {
        // The child may lead its own group now. Any other group is not its own.
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
    fn added_and_not_removed_children_remain() {
        let input =
            "00000000000000ab\n+ 0 10\n+ 1 11\n- 0\n+ 2 0\n+ 3 1\n- 5\nx\n+ 4 12 13\n+ 1 11 14";
        let remaining = RemainingChildren::read(input.as_bytes());
        assert_eq!(remaining.instance, Some(0xab));
        assert_eq!(remaining.children, BTreeMap::from([(1, (11, Some(14))), (4, (12, Some(13)))]));
    }
}
