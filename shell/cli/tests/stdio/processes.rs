//! Lists, inspects and signals processes.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: i32,
    parent: i32,
    group: i32,
    pub(crate) command: String,
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

pub(crate) fn children(parent: u32) -> Vec<Process> {
    let parent = i32::try_from(parent).unwrap();
    all().into_iter().filter(|process| process.parent == parent).collect()
}

pub(crate) fn group_of(id: i32) -> i32 {
    read(id).unwrap().group
}

/// Lists the processes whose command line contains `word`.
pub(crate) fn with_word(word: &str) -> Vec<Process> {
    all().into_iter().filter(|process| process.command.contains(word)).collect()
}

pub(crate) fn in_group(group: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.group == group).collect()
}

pub(crate) fn is_alive(id: u32) -> bool {
    read(id.try_into().unwrap()).is_some()
}

/// Returns the number of open file descriptors of a process.
pub(crate) fn descriptors(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// Returns the resident memory of a process, in KiB.
pub(crate) fn resident(id: u32) -> u64 {
    status(id, "VmRSS:").parse().unwrap()
}

/// Returns whether a process catches a signal.
pub(crate) fn catches(id: u32, signal: Signal) -> bool {
    let caught = u64::from_str_radix(&status(id, "SigCgt:"), 16).unwrap();
    caught & 1 << (signal.as_raw() - 1) != 0
}

fn status(id: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// Polls until a condition holds, with a timeout.
pub(crate) async fn wait_until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
}

pub(crate) async fn wait_for_group_exit(group: i32) {
    wait_until(|| in_group(group).is_empty()).await;
}

pub(crate) fn signal(id: u32, signal: Signal) {
    kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
}
