//! Processes of the system: lists of them, their state, and signals to them.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

/// A process, as listed by the system.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub id: i32,
    parent: i32,
    group: i32,
    /// Its command line.
    pub command: String,
}

/// Lists all processes, without zombies.
fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap();
    let ids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter_map(read).collect()
}

/// Returns `None` if the process has ended.
fn read(id: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let command = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?.replace('\0', " ");
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let number = |at: usize| fields[at].parse().unwrap();
    (!["Z", "X"].contains(&fields[0])).then(|| Process {
        id,
        parent: number(1),
        group: number(2),
        command,
    })
}

/// Lists the child processes of a process.
#[must_use]
pub fn children(parent: u32) -> Vec<Process> {
    let parent = i32::try_from(parent).unwrap();
    all().into_iter().filter(|process| process.parent == parent).collect()
}

/// Returns the group of a process.
#[must_use]
pub fn group_of(id: i32) -> i32 {
    read(id).unwrap().group
}

/// Lists the processes whose command line contains `word`.
#[must_use]
pub fn with_word(word: &str) -> Vec<Process> {
    all().into_iter().filter(|process| process.command.contains(word)).collect()
}

/// Lists the processes of a group.
#[must_use]
pub fn in_group(group: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.group == group).collect()
}

/// Returns whether a process is alive.
#[must_use]
pub fn is_alive(id: u32) -> bool {
    read(id.try_into().unwrap()).is_some()
}

/// Returns the number of open file descriptors of a process.
#[must_use]
pub fn descriptors(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// Returns the resident memory of a process, in KiB.
#[must_use]
pub fn resident(id: u32) -> u64 {
    status(id, "VmRSS:").parse().unwrap()
}

/// Returns whether a process catches a signal.
#[must_use]
pub fn catches(id: u32, signal: Signal) -> bool {
    let caught = u64::from_str_radix(&status(id, "SigCgt:"), 16).unwrap();
    caught & 1 << (signal.as_raw() - 1) != 0
}

fn status(id: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// Polls until a condition holds, with a timeout.
pub async fn wait_until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

/// Waits until no process of a group is left.
pub async fn wait_for_group_exit(group: i32) {
    wait_until(|| in_group(group).is_empty()).await;
}

/// Sends a signal.
pub fn signal(id: u32, signal: Signal) {
    kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
}
