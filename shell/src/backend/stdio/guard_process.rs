//! The guard itself.

use std::{
    collections::BTreeSet,
    io::{self, BufRead},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use tokio::signal::unix::{SignalKind, signal};

/// Is the guard, until stdin ends: the whole work of the process that
/// [`GuardCommand`](super::GuardCommand) starts.
///
/// It reads which process groups there are, `+` or `-` and the id in each line, and kills
/// those that are left when its stdin ends. It does not listen to signals that are meant
/// to end it, since it must be the last to go.
///
/// # Errors
///
/// The signals cannot be caught.
pub fn run_guard() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let deaf = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ];
    for kind in deaf {
        // A signal that was caught once never takes its default action again.
        drop(signal(kind)?);
    }
    // Keeps no file system from being unmounted.
    std::env::set_current_dir("/")?;
    let mut groups = read(io::stdin().lock());
    // Rejoin may have been killed while it started a child, which joins its group late.
    for _ in 0..ROUNDS {
        groups.retain(|group| kill(*group));
        if groups.is_empty() {
            break;
        }
        runtime.block_on(tokio::time::sleep(PAUSE));
    }
    Ok(())
}

/// How often groups are killed in which there still is a process, be it one that has ended
/// and was not reaped yet.
const ROUNDS: usize = 50;

/// How long to wait in between.
const PAUSE: Duration = Duration::from_millis(20);

/// Kills a group. Returns whether there was any process in it.
fn kill(group: i32) -> bool {
    let group = Pid::from_raw(group);
    group.is_some_and(|group| kill_process_group(group, Signal::KILL) != Err(Errno::SRCH))
}

/// Returns the groups that are left at the end of `input`, however it ends.
fn read(input: impl BufRead) -> BTreeSet<i32> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        // Group 1 is that of init, and a group below it would be all processes.
        let id = |text: &str| text.parse().ok().filter(|id: &i32| *id > 1);
        if let Some(added) = line.strip_prefix('+').and_then(id) {
            groups.insert(added);
        } else if let Some(removed) = line.strip_prefix('-').and_then(id) {
            groups.remove(&removed);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_and_not_removed_is_left() {
        let input = b"+10\n+11\n-10\n+0\n+1\n+-5\nx\n+12";
        assert_eq!(read(&input[..]).into_iter().collect::<Vec<_>>(), [11, 12]);
    }
}
