//! Processes that are started for a session: they end with it, and with the program.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{ChildStderr, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rejoin_test_support::{
    Client, Program,
    processes::{children, signal, wait_until, with_word},
    program_path,
    script::{PRELUDE, STUBBORN, pid},
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tokio::{task::spawn_blocking, time::timeout};

/// Returns a word that is unique among the command lines of all processes, and part of no other.
pub(crate) fn word() -> String {
    static WORDS: AtomicU32 = AtomicU32::new(0);
    format!("life-{}-{}-word", std::process::id(), WORDS.fetch_add(1, Ordering::Relaxed))
}

/// Starts the program with a shell that runs `script`, behind a wrapper command, and that has `word`
/// in its command line.
fn serve(wrapper: &[&str], word: &str, script: &str) -> Program {
    let script = format!(": {word}\n{PRELUDE}\n{script}");
    let options = ["--stop-timeout", "300ms", "--"];
    Program::serve(&[&options, wrapper, &["/bin/sh", "-c", &script]].concat())
}

/// Answers one call, and ignores all signals but SIGKILL.
pub(crate) const IGNORES_SIGNALS: &str =
    "trap '' TERM HUP INT; receive; respond \"{\\\"pid\\\":$$}\"; while :; do sleep 1; done";

/// Wrapper commands that run a command in another process group and session, also without the
/// inherited environment.
const GROUP_LEAVERS: [&[&str]; 2] =
    [&["setsid", "--wait"], &["env", "-i", "PATH=/usr/bin:/bin", "setsid", "--wait"]];

#[tokio::test]
async fn processes_outside_the_group_end_with_their_session() {
    for wrapper in GROUP_LEAVERS {
        let word = word();
        let program = serve(wrapper, &word, IGNORES_SIGNALS);
        let client = Client::initialize(&program.address).await;
        pid(&client, 1).await;
        assert!(with_word(&word).len() > 1);
        assert!(client.delete().await.status.is_success());
        // The program itself has the word in its command line.
        wait_until(|| with_word(&word).len() == 1).await;
    }
}

#[tokio::test]
async fn processes_outside_the_group_end_with_the_program() {
    for ending in [Signal::TERM, Signal::KILL] {
        for wrapper in GROUP_LEAVERS {
            let word = word();
            let program = serve(wrapper, &word, IGNORES_SIGNALS);
            let client = Client::initialize(&program.address).await;
            pid(&client, 1).await;
            signal(program.id(), ending);
            wait_until(|| with_word(&word).is_empty()).await;
        }
    }
}

/// Returns whether the daemon runs that [`daemon`] starts, and not only a shell on the way to it.
fn daemon_runs(word: &str) -> bool {
    with_word(word).iter().any(|process| process.command.starts_with("/bin/sh -c trap"))
}

/// A script that starts a daemon: it has left its parent, group and session, and has only the
/// environment in common with the child.
fn daemon(word: &str, by: &str) -> String {
    let daemon = format!("trap \"\" TERM HUP INT; : {word}; while :; do sleep 1; done");
    format!(
        "{by} setsid /bin/sh -c '/bin/sh -c '\\''{daemon}'\\'' &' <&- >/dev/null 2>&1; \
         while receive; do respond \"{{\\\"pid\\\":$$}}\"; done"
    )
}

#[tokio::test]
async fn daemon_ends_with_its_session_and_with_the_program() {
    for ending in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        let (word, daemon_word) = (word(), word());
        let program = serve(&[], &word, &daemon(&daemon_word, ""));
        let client = Client::initialize(&program.address).await;
        pid(&client, 1).await;
        wait_until(|| daemon_runs(&daemon_word)).await;
        match ending {
            Some(ending) => signal(program.id(), ending),
            None => assert!(client.delete().await.status.is_success()),
        }
        wait_until(|| !daemon_runs(&daemon_word)).await;
    }
}

#[tokio::test]
async fn daemon_without_an_environment_ends_with_the_program() {
    let (word, daemon_word) = (word(), word());
    let program = serve(&[], &word, &daemon(&daemon_word, "env -i"));
    let client = Client::initialize(&program.address).await;
    pid(&client, 1).await;
    wait_until(|| daemon_runs(&daemon_word)).await;
    signal(program.id(), Signal::TERM);
    wait_until(|| !daemon_runs(&daemon_word)).await;
}

/// Sets the soft limit of open files of a program, and returns the previous one.
fn limit_files(program: &Program, limit: u64) -> u64 {
    let id = Pid::from_raw(program.id().try_into().unwrap());
    // The hard limit is inherited.
    let limits = Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) };
    prlimit(id, Resource::Nofile, limits).unwrap().current.unwrap()
}

#[tokio::test]
async fn daemon_ends_although_processes_cannot_be_listed_for_a_while() {
    let (word, daemon_word) = (word(), word());
    let script = format!(": {word}\n{PRELUDE}\n{}", daemon(&daemon_word, ""));
    let mut program = Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script]);
    let log = program.stderr();
    let client = Client::initialize(&program.address).await;
    let child = pid(&client, 1).await;
    wait_until(|| daemon_runs(&daemon_word)).await;
    // The program has more than three files open, so it cannot open another one.
    let files = limit_files(&program, 3);
    signal(child.try_into().unwrap(), Signal::KILL);
    logged(log, "cannot list").await;
    assert!(daemon_runs(&daemon_word));
    limit_files(&program, files);
    wait_until(|| !daemon_runs(&daemon_word)).await;
}

/// Waits for a log line that contains `text`.
pub(crate) async fn logged(log: ChildStderr, text: &'static str) {
    let find = move || BufReader::new(log).lines().any(|line| line.unwrap().contains(text));
    let found = timeout(Duration::from_secs(10), spawn_blocking(find)).await;
    assert!(found.unwrap().unwrap(), "{text}");
}

/// Returns the number of zombie children of a process.
fn zombies(parent: i32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        entry.file_name().to_str()?.parse::<i32>().ok()?;
        fs::read_to_string(entry.path().join("stat")).ok()
    });
    let is_zombie = |stat: &String| {
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let mut fields = fields.split_whitespace();
        fields.next() == Some("Z") && fields.next().unwrap().parse() == Ok(parent)
    };
    stats.filter(is_zombie).count()
}

/// A script that leaves orphans, which exit before and after the child.
const LEAVES_ORPHANS: &str =
    "while receive; do (sleep 0.01 &); (sleep 0.2 &); respond \"{\\\"pid\\\":$$}\"; done";

async fn leave_orphans(program: &Program, id: i32) {
    for _ in 0..3 {
        let client = Client::initialize(&program.address).await;
        for call in 1..4 {
            pid(&client, call).await;
        }
        wait_until(|| zombies(id) == 0).await;
        assert!(client.delete().await.status.is_success());
    }
    wait_until(|| zombies(id) == 0).await;
}

#[tokio::test]
async fn orphans_are_reaped() {
    let program = serve(&[], &word(), LEAVES_ORPHANS);
    leave_orphans(&program, program.id().try_into().unwrap()).await;
}

/// Returns a command that starts the program as the first process of a PID namespace, or `None` if
/// this user may not create one.
fn container_command() -> Option<Command> {
    let unshare = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let may = Command::new("unshare").args(unshare).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this user may not create a PID namespace");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshare).arg(program_path());
    Some(command)
}

#[tokio::test]
async fn first_process_of_a_container_reaps_orphans_and_leaves_nothing() {
    for ending in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        let Some(command) = container_command() else { return };
        let word = word();
        let script = format!(": {word}\n{PRELUDE}\n{STUBBORN}\n{LEAVES_ORPHANS}");
        let options = ["--stop-timeout", "300ms", "--", "/bin/sh", "-c", &script];
        let program = Program::serve_with(command, &options);
        let [rejoin] = &children(program.id())[..] else { panic!("there is one process") };
        leave_orphans(&program, rejoin.id).await;
        let client = Client::initialize(&program.address).await;
        pid(&client, 1).await;
        match ending {
            Some(ending) => signal(rejoin.id.try_into().unwrap(), ending),
            None => assert!(client.delete().await.status.is_success()),
        }
        // The wrapper of the program has the word in its own command line.
        let left = usize::from(ending.is_none());
        let others = || with_word(&word).into_iter().filter(|one| !one.command.contains("unshare"));
        wait_until(|| others().count() == left).await;
    }
}
