//! The processes of the system, as `/proc` shows them. A system without it has an empty table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::Read as _,
    str::FromStr,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

/// The environment variable that names the child of rejoin from which a process descends. It
/// is inherited by all descendants, also by those that have left their parent, their process
/// group and their session.
pub(super) const VARIABLE: &str = "REJOIN_PROCESS_TREE";

/// The value of [`VARIABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// A random number of this rejoin process.
    pub(super) instance: u64,
    /// The number of the child.
    pub(super) child: u64,
}

/// All processes at some moment.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<i32, Process>);

/// One process, which is identified by its id and its start time: the id alone may be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// When it was started, in clock ticks since the system was.
    started: u64,
    /// Whether it has exited and only waits to be reaped.
    pub(super) is_zombie: bool,
    /// Of a process whose environment was read.
    pub(super) mark: Option<Mark>,
}

/// The largest environment that is read, in bytes.
const ENVIRONMENT_BYTES_MAX: u64 = 4 << 20;

impl Table {
    /// Reads the table, and the environments of the processes for whose parent
    /// `reads_environment` returns true.
    pub(super) fn read(reads_environment: impl Fn(i32) -> bool) -> Self {
        let Ok(entries) = fs::read_dir("/proc") else { return Self::default() };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let processes = ids.filter_map(Process::read).map(|mut process| {
            if !process.is_zombie && reads_environment(process.parent) {
                process.mark = read_mark(process.id);
            }
            (process.id, process)
        });
        Self(processes.collect())
    }

    /// Returns whether the system has no `/proc`.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.values()
    }

    /// Returns the processes for which `is_root` returns true, and all their descendants,
    /// without zombies.
    pub(super) fn trees(&self, is_root: impl Fn(&Process) -> bool) -> Vec<Process> {
        let mut members: BTreeSet<i32> =
            self.iter().filter(|process| is_root(process)).map(|process| process.id).collect();
        loop {
            let is_new = |process: &&Process| {
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

impl Process {
    /// Reads one process; `None` if it has ended.
    pub(super) fn read(id: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
        Self::parse(id, &String::from_utf8_lossy(&stat))
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

    /// Sends a signal, unless the process has ended since it was read.
    pub(super) fn signal(&self, signal: Signal) {
        let is_same = |now: Self| now.started == self.started && !now.is_zombie;
        if !Self::read(self.id).is_some_and(is_same) {
            return;
        }
        match Pid::from_raw(self.id).map(|id| kill_process(id, signal)) {
            Some(Err(error)) if error != Errno::SRCH => {
                tracing::debug!(pid = self.id, ?signal, %error, "process was not signalled");
            }
            Some(_) | None => {}
        }
    }
}

/// Returns the mark of a process; `None` if it has none, or its environment cannot be read.
fn read_mark(id: i32) -> Option<Mark> {
    let file = fs::File::open(format!("/proc/{id}/environ")).ok()?;
    let mut environment = Vec::new();
    file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment).ok()?;
    find_mark(&environment)
}

fn find_mark(environment: &[u8]) -> Option<Mark> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables
        .find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    str::from_utf8(value).ok()?.parse().ok()
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.instance, self.child)
    }
}

/// Says that a text is not a [`Mark`].
#[derive(Debug)]
pub(super) struct NotAMark;

impl FromStr for Mark {
    type Err = NotAMark;

    fn from_str(text: &str) -> Result<Self, NotAMark> {
        let (instance, child) = text.split_once('-').ok_or(NotAMark)?;
        let instance = u64::from_str_radix(instance, 16).map_err(|_| NotAMark)?;
        Ok(Self { instance, child: child.parse().map_err(|_| NotAMark)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_parsed_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 3 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let process = Process::parse(7, stat).unwrap();
        assert_eq!((process.parent, process.group, process.started), (3, 5, 987_654));
        assert!(!process.is_zombie);
        assert!(Process::parse(7, &stat.replace(" S ", " Z ")).unwrap().is_zombie);
        assert_eq!(Process::parse(7, "7 (a) S 3"), None);
    }

    #[test]
    fn a_mark_is_found_in_an_environment() {
        let mark = Mark { instance: 0xab, child: 12 };
        let environment = format!("A=1\0X{VARIABLE}=1-1\0{VARIABLE}={mark}\0B=2\0");
        assert_eq!(find_mark(environment.as_bytes()), Some(mark));
        assert_eq!(find_mark(b"A=1\0"), None);
        assert_eq!(find_mark(format!("{VARIABLE}=ab\0").as_bytes()), None);
    }

    #[test]
    fn a_tree_has_all_descendants_that_are_alive() {
        let process = |id, parent, is_zombie| {
            let process = Process { id, parent, group: 0, started: 0, is_zombie, mark: None };
            (id, process)
        };
        let table = Table(BTreeMap::from([
            process(2, 9, false),
            process(3, 2, true),
            process(7, 1, false),
            process(9, 7, false),
            process(10, 1, false),
        ]));
        let ids = |root: i32| -> Vec<i32> {
            table.trees(|process| process.id == root).iter().map(|process| process.id).collect()
        };
        assert_eq!(ids(7), [2, 7, 9]);
        assert_eq!(ids(10), [10]);
    }
}
