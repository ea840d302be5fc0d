//! Exit of children, by themselves and with their sessions.

use http::StatusCode;
use rejoin_test_support::{
    Client,
    processes::{
        children, descriptors, group_of, in_group, resident, signal, wait_for_group_exit,
        wait_until,
    },
    script::{ECHO, STUBBORN, group, pid, serve},
};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test]
async fn exit_of_a_child_fails_its_requests_and_its_session() {
    for end in ["exit 3", "kill -9 $$", "sleep 1000 & kill -9 $$", "exec >&-; sleep 1000"] {
        let program =
            serve(&[], &format!("receive; respond \"{{\\\"pid\\\":$$}}\"; receive; {end}"));
        let client = Client::initialize(&program.address).await;
        let group = group(&client, 1).await;
        let error = client.call(2, "any", json!({})).await.response().await["error"].take();
        assert_eq!(error["code"], -32_603, "{end}: {error}");
        assert_eq!(client.get(None).await.status, StatusCode::NOT_FOUND);
        wait_for_group_exit(group).await;
        let again = Client::initialize(&program.address).await;
        pid(&again, 1).await;
    }
}

#[tokio::test]
async fn descendants_of_a_killed_child_are_killed() {
    let script = format!("{STUBBORN} while receive; do respond \"{{\\\"pid\\\":$$}}\"; done");
    let program = serve(&[], &script);
    let client = Client::initialize(&program.address).await;
    let child = pid(&client, 1).await;
    let group = group_of(child);
    assert!(in_group(group).len() > 1);
    signal(child.try_into().unwrap(), Signal::KILL);
    wait_for_group_exit(group).await;
    wait_until(|| children(program.id()).len() == 1).await;
    assert_eq!(client.get(None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn end_of_a_session_kills_a_stubborn_grandchild() {
    for end in ["done", "done; wait", "done; exit 0"] {
        let script = format!(
            "{STUBBORN} while read -r line; do case $line in *params*) id=${{line#*'\"id\":'}}; \
             id=${{id%%[,\\}}]*}}; respond \"{{\\\"pid\\\":$$}}\";; esac; {end}"
        );
        let program = serve(&["--stop-timeout", "400ms"], &script);
        let client = Client::initialize(&program.address).await;
        let group = group(&client, 1).await;
        assert!(in_group(group).len() > 1, "{end}");
        assert!(client.delete().await.status.is_success());
        wait_for_group_exit(group).await;
    }
}

#[tokio::test]
async fn child_has_time_to_exit_by_itself() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    // After its stdin is closed, it writes a message, does its work, and exits.
    let script = format!(
        "receive; respond \"{{\\\"pid\\\":$$}}\"; while read -r line; do :; done; \
         echo '{{\"jsonrpc\":\"2.0\",\"method\":\"n\"}}'; sleep 0.2; echo \"$line\" peace > {path}"
    );
    let program = serve(&["--stop-timeout", "10s"], &script);
    let client = Client::initialize(&program.address).await;
    let group = group(&client, 1).await;
    assert!(client.delete().await.status.is_success());
    wait_for_group_exit(group).await;
    assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "peace");
}

#[tokio::test]
async fn output_before_the_exit_is_delivered() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let notification = "{\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n".repeat(1_000);
    let response = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n";
    std::fs::write(file.path(), notification + response).unwrap();
    // Everything fits into the pipe, and the process has exited when it is read.
    let program = serve(&[], &format!("receive; exec cat {}", file.path().display()));
    for _ in 0..20 {
        let client = Client::initialize(&program.address).await;
        let response = client.call(1, "any", json!({})).await.response().await;
        assert_eq!(response["result"], json!({}), "{response}");
    }
}

#[tokio::test]
async fn child_that_ignores_stdin_gets_sigterm_then_sigkill() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let script = format!(
        "trap 'echo terminated >> {path}' TERM; receive; respond \"{{\\\"pid\\\":$$}}\"; \
         while :; do sleep 0.05; done"
    );
    let program = serve(&["--stop-timeout", "2s"], &script);
    let client = Client::initialize(&program.address).await;
    let group = group(&client, 1).await;
    assert!(client.delete().await.status.is_success());
    wait_for_group_exit(group).await;
    assert_eq!(std::fs::read_to_string(path).unwrap(), "terminated\n");
}

#[tokio::test]
async fn child_with_endless_output_ends_with_its_session() {
    let script = "receive; respond \"{\\\"pid\\\":$$}\"; trap '' TERM; \
                  exec yes '{\"jsonrpc\":\"2.0\",\"method\":\"n\"}'";
    let program = serve(&["--stop-timeout", "400ms"], script);
    let client = Client::initialize(&program.address).await;
    let group = group(&client, 1).await;
    let other = Client::initialize(&program.address).await;
    assert!(client.delete().await.status.is_success());
    wait_for_group_exit(group).await;
    pid(&other, 1).await;
}

#[tokio::test]
async fn expired_sessions_leave_no_process() {
    let program = serve(&["--idle-timeout", "200ms"], ECHO);
    for _ in 0..200 {
        Client::initialize(&program.address).await;
    }
    wait_until_only_the_watchdog_is_left(program.id()).await;
}

#[tokio::test]
async fn deleted_sessions_leak_nothing() {
    const SESSIONS: u64 = 400;
    let program = serve(&[], ECHO);
    let open_and_delete = async || {
        for _ in 0..SESSIONS {
            let client = Client::initialize(&program.address).await;
            assert!(client.delete().await.status.is_success());
        }
        wait_until_only_the_watchdog_is_left(program.id()).await;
        (descriptors(program.id()), resident(program.id()))
    };
    // Warm-up: the threads that start children allocate memory of their own.
    open_and_delete().await;
    let (files, mut memory) = open_and_delete().await;
    // The allocator grows in some rounds, a leak in every one.
    let mut grown = Vec::new();
    while grown.len() < 5 && grown.last().is_none_or(|grown| *grown >= SESSIONS) {
        let (_, later) = open_and_delete().await;
        grown.push(later.saturating_sub(memory));
        memory = later;
    }
    wait_until(|| descriptors(program.id()) <= files).await;
    assert!(grown.last() < Some(&SESSIONS), "{SESSIONS} sessions left {grown:?} KiB each time");
}

async fn wait_until_only_the_watchdog_is_left(program: u32) {
    wait_until(|| children(program).len() == 1).await;
    let [watchdog] = &children(program)[..] else { panic!() };
    assert!(watchdog.command.contains(" watchdog "), "{watchdog:?}");
}
