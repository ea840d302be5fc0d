//! Whatever was started for a session ends with it, and with the program.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{ChildStderr, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use http::StatusCode;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::spawn_blocking, time::timeout};

use crate::{
    client::{Client, LATEST_REVISION, initialize},
    processes::{children, signal, wait_until, with_word},
    program::Program,
    script::{ECHO, PRELUDE, STUBBORN, pid, result, serve as serve_script},
};

/// Returns a word that no other process has in its command line.
fn word() -> String {
    static WORDS: AtomicU32 = AtomicU32::new(0);
    format!("life-{}-{}", std::process::id(), WORDS.fetch_add(1, Ordering::Relaxed))
}

/// Serves each session by a command that ends with a shell, which runs `script` and has `word`
/// in its command line.
fn serve(wrapper: &[&str], word: &str, script: &str) -> Program {
    let script = format!(": {word}\n{PRELUDE}\n{script}");
    let options = ["--stop-timeout", "300ms", "--"];
    Program::serve(&[&options, wrapper, &["/bin/sh", "-c", &script]].concat())
}

/// Answers one call, and ends by SIGKILL alone.
const DEAF: &str =
    "trap '' TERM HUP INT; hear; answer \"{\\\"pid\\\":$$}\"; while :; do sleep 1; done";

/// Commands that leave the process group that they are started in, also with an environment
/// of their own.
const LEAVERS: [&[&str]; 4] = [
    &["setsid"],
    &["timeout", "1h"],
    &["env", "-i", "PATH=/usr/bin:/bin", "setsid"],
    &["env", "-i", "PATH=/usr/bin:/bin", "timeout", "1h"],
];

#[tokio::test]
async fn a_child_that_leaves_its_group_ends_with_its_session() {
    for leaver in LEAVERS {
        let word = word();
        let program = serve(leaver, &word, DEAF);
        let client = Client::initialize(&program.address).await;
        pid(&client, 1).await;
        assert!(with_word(&word).len() > 1);
        assert!(client.delete().await.status.is_success());
        // The program has the word in its own command line.
        wait_until(|| with_word(&word).len() == 1).await;
    }
}

#[tokio::test]
async fn a_child_that_leaves_its_group_ends_with_the_program() {
    for ending in [Signal::TERM, Signal::KILL] {
        for leaver in LEAVERS {
            let word = word();
            let program = serve(leaver, &word, DEAF);
            let client = Client::initialize(&program.address).await;
            pid(&client, 1).await;
            signal(program.id(), ending);
            wait_until(|| with_word(&word).is_empty()).await;
        }
    }
}

/// Starts a process that has left everything, and only has the environment of the child.
fn daemon(word: &str, by: &str) -> String {
    let daemon = format!("trap \"\" TERM HUP INT; : {word}; while :; do sleep 1; done");
    format!(
        "{by} setsid /bin/sh -c '/bin/sh -c '\\''{daemon}'\\'' &' <&- >/dev/null 2>&1; \
         while hear; do answer \"{{\\\"pid\\\":$$}}\"; done"
    )
}

#[tokio::test]
async fn a_daemon_ends_with_its_session_and_with_the_program() {
    for ending in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        let (word, its) = (word(), word());
        let program = serve(&[], &word, &daemon(&its, ""));
        let client = Client::initialize(&program.address).await;
        pid(&client, 1).await;
        let daemons = || with_word(&its).into_iter().filter(|one| !one.command.contains(&word));
        wait_until(|| daemons().count() == 1).await;
        match ending {
            Some(ending) => signal(program.id(), ending),
            None => assert!(client.delete().await.status.is_success()),
        }
        wait_until(|| daemons().count() == 0).await;
    }
}

#[tokio::test]
async fn a_daemon_without_an_environment_ends_with_the_program() {
    let (word, its) = (word(), word());
    let program = serve(&[], &word, &daemon(&its, "env -i"));
    let client = Client::initialize(&program.address).await;
    pid(&client, 1).await;
    let daemons = || with_word(&its).into_iter().filter(|one| !one.command.contains(&word));
    wait_until(|| daemons().count() == 1).await;
    signal(program.id(), Signal::TERM);
    wait_until(|| daemons().count() == 0).await;
}

/// Sets the soft limit of open files of a program, and returns the one before.
fn limit_files(program: &Program, limit: u64) -> u64 {
    let id = Pid::from_raw(program.id().try_into().unwrap());
    // The hard limit is inherited.
    let limits = Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) };
    prlimit(id, Resource::Nofile, limits).unwrap().current.unwrap()
}

#[tokio::test]
async fn a_daemon_ends_also_where_processes_cannot_be_listed_for_a_while() {
    let (word, its) = (word(), word());
    let script = format!(": {word}\n{PRELUDE}\n{}", daemon(&its, ""));
    let mut program = Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script]);
    let log = program.stderr();
    let client = Client::initialize(&program.address).await;
    let child = pid(&client, 1).await;
    let daemons = || with_word(&its).into_iter().filter(|one| !one.command.contains(&word));
    wait_until(|| daemons().count() == 1).await;
    // It has three files open that are not closed, so no file can be opened.
    let files = limit_files(&program, 3);
    signal(child.try_into().unwrap(), Signal::KILL);
    logged(log, "cannot list").await;
    assert_eq!(daemons().count(), 1);
    limit_files(&program, files);
    wait_until(|| daemons().count() == 0).await;
}

/// Returns how many children of a process have exited and were not reaped.
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

/// Leaves processes behind that end wait_until, before and after the child does.
const LITTER: &str =
    "while hear; do (sleep 0.01 &); (sleep 0.2 &); answer \"{\\\"pid\\\":$$}\"; done";

async fn litters(program: &Program, id: i32) {
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
    let program = serve(&[], &word(), LITTER);
    litters(&program, program.id().try_into().unwrap()).await;
}

/// Returns what starts the program as the first process of a container; `None` where this
/// user must not do so.
fn contained() -> Option<Command> {
    let unshare = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let may = Command::new("unshare").args(unshare).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this user may not make a PID namespace");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshare).arg(env!("CARGO_BIN_EXE_rejoin"));
    Some(command)
}

#[tokio::test]
async fn the_first_process_of_a_container_reaps_orphans_and_leaves_nothing() {
    for ending in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        let Some(command) = contained() else { return };
        let word = word();
        let script = format!(": {word}\n{PRELUDE}\n{STUBBORN}\n{LITTER}");
        let options = ["--stop-timeout", "300ms", "--", "/bin/sh", "-c", &script];
        let program = Program::serve_with(command, &options);
        let [rejoin] = &children(program.id())[..] else { panic!("there is one process") };
        litters(&program, rejoin.id).await;
        let client = Client::initialize(&program.address).await;
        pid(&client, 1).await;
        match ending {
            Some(ending) => signal(rejoin.id.try_into().unwrap(), ending),
            None => assert!(client.delete().await.status.is_success()),
        }
        // What starts the program has the word in its own command line.
        let left = usize::from(ending.is_none());
        let others = || with_word(&word).into_iter().filter(|one| !one.command.contains("unshare"));
        wait_until(|| others().count() == left).await;
    }
}

/// Asks for a session, and does not wait for the answer.
async fn ask_for_session(program: &Program) -> TcpStream {
    ask_for_session_with(program, &json!({})).await
}

async fn ask_for_session_with(program: &Program, capabilities: &Value) -> TcpStream {
    let body = initialize(LATEST_REVISION, capabilities).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        program.address,
        body.len()
    );
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    // It does not only stop to send when it is dropped, but is gone.
    stream.set_zero_linger().unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn there_are_never_more_processes_than_sessions_are_allowed() {
    let word = word();
    let script = format!(": {word}\n{PRELUDE}\n{DEAF}");
    let options =
        ["--max-sessions", "2", "--stop-timeout", "200ms", "--", "/bin/sh", "-c", &script];
    let program = Program::serve(&options);
    for _ in 0..8 {
        // It waits for the end of a process where two are left of sessions before.
        let client = Client::initialize(&program.address).await;
        assert!(client.delete().await.status.is_success());
        assert!(children(program.id()).iter().filter(|it| it.command.contains(&word)).count() <= 2);
    }
}

#[tokio::test]
async fn a_place_that_takes_too_long_to_be_free_is_refused() {
    let options = ["--max-sessions", "1", "--stop-timeout", "20s", "--queue-timeout", "100ms"];
    let program = serve_script(&options, "trap '' TERM; while :; do sleep 1; done");
    let client = Client::initialize(&program.address).await;
    assert!(client.delete().await.status.is_success());
    let refused =
        Client::new(&program.address).post(&initialize(LATEST_REVISION, &json!({}))).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn each_of_many_new_sessions_gets_the_place_of_an_unused_one_though_it_ends_slowly() {
    const SESSIONS: usize = 3;
    let max = SESSIONS.to_string();
    let options = ["--max-sessions", &max, "--max-starts-per-second", "unlimited"];
    let options = [&options[..], &["--stop-timeout", "400ms"]].concat();
    let program = serve_script(&options, DEAF);
    for _ in 0..SESSIONS {
        Client::initialize(&program.address).await;
    }
    let newcomers = [(); SESSIONS].map(|()| {
        let address = program.address.clone();
        tokio::spawn(async move {
            let new_client = Client::new(&address);
            new_client.post(&initialize(LATEST_REVISION, &json!({}))).await.status
        })
    });
    for newcomer in newcomers {
        assert_eq!(newcomer.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn more_starts_than_allowed_wait_and_then_are_refused() {
    let program = serve_script(&["--max-starts-per-second", "1"], ECHO);
    let begun = Instant::now();
    Client::initialize(&program.address).await;
    Client::initialize(&program.address).await;
    assert!(begun.elapsed() > Duration::from_millis(900));
    starts_are_refused(&program, &json!({})).await;
}

/// Asks for sessions until one more would have to wait too long for the start of its server.
async fn starts_are_refused(program: &Program, capabilities: &Value) {
    // So many wait that the next one would have to wait for more than 5 s.
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(ask_for_session_with(program, capabilities).await);
    }
    let refused = async {
        loop {
            let new_client = Client::new(&program.address);
            let request = initialize(LATEST_REVISION, capabilities);
            let answer = timeout(Duration::from_millis(500), new_client.post(&request)).await;
            if let Ok(answer) = answer
                && answer.status != StatusCode::OK
            {
                break answer;
            }
        }
    };
    let mut refused = timeout(Duration::from_secs(10), refused).await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    let why = refused.json().await["error"]["message"].to_string();
    assert!(why.contains("too many servers are starting"), "{why}");
}

/// Notes that it has read the first message, and is slow to answer it.
fn cold(starts: &str) -> String {
    let first = format!("IFS= read -r first; echo started >> {starts}; sleep 1.5");
    format!("{first}\n{{ printf '%s\\n' \"$first\"; cat; }} | {{ {PRELUDE}\n{ECHO}; }}")
}

fn count(starts: &str) -> usize {
    fs::read_to_string(starts).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn a_client_that_comes_back_gets_the_server_that_it_did_not_wait_for() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let starts = starts.to_str().unwrap();
    // Nor does the child that waits for a client keep the only place.
    let options = ["--max-sessions", "1", "--", "/bin/sh", "-c", &cold(starts)];
    let program = Program::serve(&options);
    let impatient = ask_for_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    let client = Client::initialize(&program.address).await;
    assert_eq!(result(&client, 1, json!({ "a": 1 })).await["heard"]["params"]["arguments"]["a"], 1);
    assert_eq!(count(starts), 1);
    assert!(client.delete().await.status.is_success());
    // The child was this client's alone.
    Client::initialize(&program.address).await;
    assert_eq!(count(starts), 2);
}

#[tokio::test]
async fn a_client_that_says_something_else_gets_a_server_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let starts = starts.to_str().unwrap();
    let program = Program::serve(&["--start-grace", "4s", "--", "/bin/sh", "-c", &cold(starts)]);
    let impatient = ask_for_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    let other =
        Client::initialize_with(&program.address, LATEST_REVISION, &json!({ "sampling": {} }))
            .await;
    assert_eq!(count(starts), 2);
    assert!(other.delete().await.status.is_success());
    // Nobody has come for the first one.
    wait_until(|| children(program.id()).iter().all(|it| !it.command.contains("started"))).await;
}

/// Waits until a text is logged.
async fn logged(log: ChildStderr, text: &'static str) {
    let find = move || BufReader::new(log).lines().any(|line| line.unwrap().contains(text));
    let found = timeout(Duration::from_secs(10), spawn_blocking(find)).await;
    assert!(found.unwrap().unwrap(), "{text}");
}

#[tokio::test]
async fn a_start_is_refused_in_the_same_way_while_a_server_waits_for_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let (command, starts) = (folder.path().join("command"), folder.path().join("starts"));
    std::os::unix::fs::symlink("/bin/sh", &command).unwrap();
    let (command, starts) = (command.to_str().unwrap(), starts.to_str().unwrap());
    let script = format!("read -r line; echo started >> {starts}; sleep 1000");
    let mut program = Program::logging_to(Stdio::piped(), &["--", command, "-c", &script]);
    let log = program.stderr();
    let impatient = ask_for_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    logged(log, "kept for the next client").await;
    fs::remove_file(command).unwrap();
    let request = initialize(LATEST_REVISION, &json!({ "sampling": {} }));
    let mut answer = Client::new(&program.address).post(&request).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let why = answer.json().await["error"]["message"].to_string();
    assert!(why.contains("No such file"), "{why}");
}

#[tokio::test]
async fn too_many_starts_are_refused_also_while_a_server_waits_for_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let starts = starts.to_str().unwrap();
    let script = format!("read -r line; echo started >> {starts}; sleep 1000");
    let options = ["--max-starts-per-second", "1", "--", "/bin/sh", "-c", &script];
    let mut program = Program::logging_to(Stdio::piped(), &options);
    let log = program.stderr();
    let impatient = ask_for_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    logged(log, "kept for the next client").await;
    starts_are_refused(&program, &json!({ "sampling": {} })).await;
}

#[tokio::test]
async fn a_server_that_waits_for_a_client_ends_with_the_program() {
    for ending in [Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        let (word, starts) = (word(), folder.path().join("starts"));
        let starts = starts.to_str().unwrap();
        let script = format!(": {word}; read -r line; echo started >> {starts}; sleep 1000");
        let options = ["--stop-timeout", "300ms", "--", "/bin/sh", "-c", &script];
        let mut program = Program::logging_to(Stdio::piped(), &options);
        let log = program.stderr();
        let impatient = ask_for_session(&program).await;
        wait_until(|| count(starts) == 1).await;
        drop(impatient);
        logged(log, "kept for the next client").await;
        assert_eq!(with_word(&word).len(), 2);
        signal(program.id(), ending);
        wait_until(|| with_word(&word).is_empty()).await;
    }
}

/// Returns how long a call takes.
async fn time_of(client: &Client, id: i64) -> Duration {
    let begun = Instant::now();
    result(client, id, json!({})).await;
    begun.elapsed()
}

#[tokio::test]
async fn many_starts_at_once_delay_no_other_request() {
    const STARTS: usize = 200;
    let program = serve_script(&["--max-sessions", "1000"], ECHO);
    // On the same machine, and starts nothing meanwhile.
    let idle_program = serve_script(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    let control = Client::initialize(&idle_program.address).await;
    let mut asking = Vec::new();
    for _ in 0..STARTS {
        asking.push(ask_for_session(&program).await);
    }
    let (mut times, mut control_times) = (Vec::new(), Vec::new());
    for id in 1..=20 {
        times.push(time_of(&client, id).await);
        control_times.push(time_of(&control, id).await);
    }
    times.sort();
    control_times.sort();
    let [median, control] = [&times, &control_times].map(|times| times[times.len() / 2]);
    let most = 2 * control + Duration::from_millis(50);
    assert!(median < most, "{times:?} beside {control_times:?}");
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_for_the_program_and_not_for_the_command() {
    let script = "while hear; do answer \"{\\\"files\\\":$(ulimit -n)}\"; done";
    let script = format!("{PRELUDE}\n{script}");
    let mut command = Command::new("/bin/sh");
    let limited = "ulimit -S -n 256 && exec \"$0\" \"$@\"";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_rejoin")]);
    let program = Program::serve_with(command, &["--", "/bin/sh", "-c", &script]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|at| files.split_whitespace().nth(at).unwrap());
    assert_eq!(soft, hard);
    let client = Client::initialize(&program.address).await;
    assert_eq!(result(&client, 1, json!({})).await["files"], 256);
}

/// What the program logs at its start, until SIGTERM ends it, where so many files may be open.
fn logged_with_open_files(limit: u32, args: &[&str]) -> String {
    let limited = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
    let mut rejoin = Command::new("/bin/sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_rejoin"), "--listen", "127.0.0.1:0"])
        .args(args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(rejoin.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(stdout).map(Result::unwrap);
    lines.find(|line| line.contains("listens on")).unwrap();
    signal(rejoin.id(), Signal::TERM);
    String::from_utf8(rejoin.wait_with_output().unwrap().stderr).unwrap()
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_said() {
    let said = logged_with_open_files(256, &[]);
    assert!(said.contains("limit of 256") && said.contains("--max-connections 20000"), "{said}");
    let said = logged_with_open_files(1024, &["--max-connections", "1000", "--", "/bin/cat"]);
    assert!(said.contains("limit of 1024") && said.contains("--max-connections 1000"), "{said}");
}

#[test]
fn the_default_number_of_connections_fits_the_limit_of_open_files() {
    let said = logged_with_open_files(1024, &["--", "/bin/cat"]);
    assert!(!said.contains("open files"), "{said}");
}
