//! The guard itself.

use std::{
    collections::BTreeSet,
    io::{self, BufRead},
};

use rustix::process::{Pid, Signal, kill_process_group};
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
    for group in read(io::stdin().lock()) {
        if let Some(group) = Pid::from_raw(group) {
            // One that has ended meanwhile cannot be killed.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    Ok(())
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
