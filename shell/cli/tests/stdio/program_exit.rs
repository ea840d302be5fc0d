//! Exit of the program, which leaves no process behind.

use rejoin_test_support::{
    Client, LATEST_REVISION, Program, initialize,
    processes::{
        catches, children, in_group, is_alive, signal, wait_for_group_exit, wait_until, with_word,
    },
    script::{STUBBORN, group, serve},
};
use rustix::process::Signal;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

fn stubborn(options: &[&str]) -> Program {
    let script = format!(
        "trap '' TERM; {STUBBORN} receive; respond \"{{\\\"pid\\\":$$}}\"; while :; do sleep 1; done"
    );
    serve(options, &script)
}

/// Starts sessions, and returns the process groups of their children.
async fn start_sessions(program: &Program, sessions: usize) -> Vec<i32> {
    let mut groups = Vec::new();
    for _ in 0..sessions {
        let client = Client::initialize(&program.address).await;
        groups.push(group(&client, 1).await);
    }
    assert!(groups.iter().all(|group| in_group(*group).len() > 1));
    groups
}

#[tokio::test]
async fn killed_program_leaves_no_process() {
    let program = stubborn(&[]);
    let groups = start_sessions(&program, 3).await;
    let watchdog = watchdog(&program);
    signal(program.id(), Signal::KILL);
    for group in groups {
        wait_for_group_exit(group).await;
    }
    wait_until(|| !is_alive(watchdog)).await;
}

#[tokio::test]
async fn program_killed_while_starting_children_leaves_no_process() {
    for round in 0..10_u64 {
        let word = format!("storm-{}-{round}", std::process::id());
        let stubborn = format!("trap '' TERM HUP INT; : {word}; while :; do sleep 1; done");
        let program = Program::serve(&["--", "/bin/sh", "-c", &stubborn]);
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(start_session(&program.address).await);
        }
        wait_until(|| with_word(&word).len() > usize::try_from(round).unwrap() + 1).await;
        signal(program.id(), Signal::KILL);
        wait_until(|| with_word(&word).is_empty()).await;
    }
}

/// Requests a session, without waiting for the response.
async fn start_session(address: &str) -> TcpStream {
    let body = initialize(LATEST_REVISION, &json!({})).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn watchdog_ignores_signals_except_sigkill() {
    let program = stubborn(&[]);
    let groups = start_sessions(&program, 1).await;
    let watchdog = watchdog(&program);
    for ignored in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        // It has just started.
        wait_until(|| catches(watchdog, ignored)).await;
        signal(watchdog, ignored);
    }
    signal(program.id(), Signal::KILL);
    wait_for_group_exit(groups[0]).await;
    wait_until(|| !is_alive(watchdog)).await;
}

#[tokio::test]
async fn killed_watchdog_is_restarted() {
    let program = stubborn(&[]);
    let mut groups = start_sessions(&program, 1).await;
    let first = watchdog(&program);
    signal(first, Signal::KILL);
    wait_until(|| !is_alive(first)).await;
    groups.extend(start_sessions(&program, 1).await);
    assert_ne!(watchdog(&program), first);
    signal(program.id(), Signal::KILL);
    for group in groups {
        wait_for_group_exit(group).await;
    }
}

#[tokio::test]
async fn program_exits_after_its_children() {
    for ending in [Signal::TERM, Signal::INT] {
        let program = stubborn(&["--stop-timeout", "400ms"]);
        let groups = start_sessions(&program, 3).await;
        let watchdog = watchdog(&program);
        signal(program.id(), ending);
        wait_until(|| !is_alive(program.id())).await;
        assert!(groups.iter().all(|group| in_group(*group).is_empty()));
        wait_until(|| !is_alive(watchdog)).await;
    }
}

#[tokio::test]
async fn second_signal_ends_the_program_immediately() {
    let program = stubborn(&["--stop-timeout", "60s"]);
    let groups = start_sessions(&program, 1).await;
    signal(program.id(), Signal::TERM);
    // Signals that arrive before the first one is handled are merged with it.
    wait_until(|| {
        signal_if_alive(&program);
        !is_alive(program.id())
    })
    .await;
    wait_for_group_exit(groups[0]).await;
}

fn signal_if_alive(program: &Program) {
    if is_alive(program.id()) {
        signal(program.id(), Signal::TERM);
    }
}

fn watchdog(program: &Program) -> u32 {
    let mut children = children(program.id()).into_iter();
    let watchdog = children.find(|child| child.command.contains(" watchdog ")).unwrap();
    watchdog.id.try_into().unwrap()
}
