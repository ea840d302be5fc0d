//! Process table of the system, read from `/proc`. Without `/proc`, the table is empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

use super::mark::Mark;

/// A snapshot of all processes.
#[derive(Debug, Default)]
pub(super) struct ProcessTable(BTreeMap<i32, ProcessEntry>);

/// A process, identified by its id and its start time, since the id alone may be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessEntry {
    pub(super) id: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Start time, in clock ticks since boot.
    started: u64,
    /// Whether it has exited and waits to be reaped.
    pub(super) is_zombie: bool,
    /// The mark in its environment, if that was read.
    pub(super) mark: Option<Mark>,
}

/// Maximum size of an environment that is read, in bytes.
const ENVIRONMENT_BYTES_MAX: u64 = 4 << 20;

impl ProcessTable {
    /// Reads the table, and the environment of each process for whose parent
    /// `reads_environment` returns true.
    ///
    /// # Errors
    ///
    /// Some of it cannot be read for now, for example because too many files are open. So a
    /// process that is not in a returned table has ended, or was started later.
    pub(super) fn read(reads_environment: impl Fn(i32) -> bool) -> io::Result<Self> {
        let mut table = BTreeMap::new();
        let Some(entries) = optional(fs::read_dir("/proc"))? else { return Ok(Self(table)) };
        for entry in entries {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Some(mut process) = ProcessEntry::read(id)? else { continue };
            if !process.is_zombie && reads_environment(process.parent) {
                process.mark = read_mark(id)?;
            }
            table.insert(id, process);
        }
        Ok(Self(table))
    }

    /// Returns whether the table is empty: the system has no `/proc`.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ProcessEntry> {
        self.0.values()
    }

    /// Returns the processes for which `is_root` returns true, and all their descendants,
    /// without zombies. Ordered by id.
    pub(super) fn trees(&self, is_root: impl Fn(&ProcessEntry) -> bool) -> Vec<ProcessEntry> {
        let mut members: BTreeSet<i32> =
            self.iter().filter(|process| is_root(process)).map(|process| process.id).collect();
        loop {
            let is_new = |process: &&ProcessEntry| {
                members.contains(&process.parent) && !members.contains(&process.id)
            };
            let more: Vec<_> = self.iter().filter(is_new).map(|process| process.id).collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        let members = members.iter().filter_map(|id| self.0.get(id));
        members.filter(|process| !process.is_zombie).copied().collect()
    }
}

impl ProcessEntry {
    /// Reads one process. Returns `None` if it has ended, or is hidden because it belongs to another
    /// user.
    fn read(id: i32) -> io::Result<Option<Self>> {
        let stat = optional(fs::read(format!("/proc/{id}/stat")))?;
        Ok(stat.and_then(|stat| Self::parse(id, &String::from_utf8_lossy(&stat))))
    }

    /// Specification: `proc_pid_stat(5)`.
    fn parse(id: i32, stat: &str) -> Option<Self> {
        // The name of the program may contain anything, parentheses and spaces included.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        // The start time is field 22, the group field 5.
        let started = fields.nth(22 - 5 - 1)?.parse().ok()?;
        let is_zombie = matches!(state, "Z" | "X" | "x");
        Some(Self { id, parent, group, started, is_zombie, mark: None })
    }

    /// Returns whether this is the same process.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.id, self.started) == (other.id, other.started)
    }

    /// Sends a signal, unless the process has ended since it was read, or that cannot be checked.
    pub(super) fn signal(&self, signal: Signal) {
        match Self::read(self.id) {
            Ok(Some(now)) if self.is_same(&now) && !now.is_zombie => {}
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(pid = self.id, ?signal, %error, "cannot signal process");
                return;
            }
        }
        match Pid::from_raw(self.id).map(|id| kill_process(id, signal)) {
            Some(Err(error)) if error != Errno::SRCH => {
                tracing::debug!(pid = self.id, ?signal, %error, "cannot signal process");
            }
            Some(_) | None => {}
        }
    }
}

/// Returns the mark of a process, or `None` if it has none, has ended, or belongs to another
/// user.
fn read_mark(id: i32) -> io::Result<Option<Mark>> {
    let read = || {
        let file = fs::File::open(format!("/proc/{id}/environ"))?;
        let mut environment = Vec::new();
        file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment)?;
        Ok(environment)
    };
    Ok(optional(read())?.and_then(|environment| Mark::find(&environment)))
}

/// Turns errors that mean a file does not exist, or is not readable by this user, into `None`.
/// Other errors are temporary.
fn optional<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) || error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_line_is_parsed_for_any_program_name() {
        let stat = "7 (a) b (c) S 3 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let process = ProcessEntry::parse(7, stat).unwrap();
        assert_eq!((process.parent, process.group, process.started), (3, 5, 987_654));
        assert!(!process.is_zombie);
        assert!(ProcessEntry::parse(7, &stat.replace(" S ", " Z ")).unwrap().is_zombie);
        assert_eq!(ProcessEntry::parse(7, "7 (a) S 3"), None);
    }

    fn process(id: i32, parent: i32, group: i32) -> ProcessEntry {
        ProcessEntry { id, parent, group, started: 0, is_zombie: false, mark: None }
    }

    fn zombie(id: i32, parent: i32, group: i32) -> ProcessEntry {
        ProcessEntry { is_zombie: true, ..process(id, parent, group) }
    }

    fn table(processes: &[ProcessEntry]) -> ProcessTable {
        ProcessTable(processes.iter().map(|process| (process.id, *process)).collect())
    }

    fn ids(processes: &[ProcessEntry]) -> Vec<i32> {
        processes.iter().map(|process| process.id).collect()
    }

    #[test]
    fn tree_has_all_living_descendants() {
        let table = table(&[
            process(2, 9, 0),
            zombie(3, 2, 0),
            process(7, 1, 0),
            process(9, 7, 0),
            process(10, 1, 0),
        ]);
        let tree = |root: i32| ids(&table.trees(|process| process.id == root));
        assert_eq!(tree(7), [2, 7, 9]);
        assert_eq!(tree(10), [10]);
    }

    #[test]
    fn missing_files_are_distinguished_from_temporary_errors() {
        let read = |errno: Errno| optional::<()>(Err(errno.into()));
        for missing in [Errno::NOENT, Errno::SRCH, Errno::ACCESS, Errno::PERM] {
            assert!(matches!(read(missing), Ok(None)), "{missing:?}");
        }
        for temporary in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO] {
            assert!(read(temporary).is_err(), "{temporary:?}");
        }
    }
}
