//! Processes of several servers in one program.

use http::StatusCode;
use rejoin_test_support::{
    processes::{children, descriptors, is_alive, wait_until},
    script,
};
use serde_json::{Value, json};

use super::fixture::{Served, value, valued};

/// Returns a server that starts a daemon, whose id is in its answers.
fn with_daemon() -> Value {
    let daemon = r#"daemon=$(sh -c 'sleep 600 >/dev/null 2>&1 & echo $!')
        while receive; do respond "{\"daemon\":$daemon}"; done"#;
    json!({
        "command": "/bin/sh",
        "args": ["-c", script::with_prelude(daemon).replace("${", "$${")],
    })
}

#[tokio::test]
async fn a_server_that_ends_leaves_the_processes_of_others_alone() {
    let served = Served::start(&json!({ "a": with_daemon(), "b": valued("b") }), &[]);
    let (client, ending) = (served.open("a").await, served.open("b").await);
    let daemon = script::result(&client, 1, Value::Null).await["daemon"].as_u64().unwrap();
    let daemon = u32::try_from(daemon).unwrap();
    let pid = script::result(&ending, 1, Value::Null).await["pid"].as_u64().unwrap();
    served.reload(&json!({ "a": with_daemon() }));
    assert_eq!(ending.delete().await.status, StatusCode::NO_CONTENT);
    let pid = u32::try_from(pid).unwrap();
    wait_until(|| !is_alive(pid)).await;
    served.logged("server retired");
    assert!(is_alive(daemon), "the daemon of another server was killed");
    let again = script::result(&client, 2, Value::Null).await["daemon"].as_u64().unwrap();
    assert_eq!(again, u64::from(daemon));
    assert_eq!(client.delete().await.status, StatusCode::NO_CONTENT);
    wait_until(|| !is_alive(daemon)).await;
}

#[tokio::test]
async fn reloads_leave_no_descriptor_and_no_process_behind() {
    let served = Served::start(&json!({ "a": valued("0"), "b": valued("b") }), &[]);
    let id = served.program.id();
    let client = served.open("b").await;
    assert_eq!(value(&client, 1).await, "b");
    let (files, processes) = (descriptors(id), children(id).len());
    for change in 1..=20 {
        let client = served.open("a").await;
        served.reload(&json!({ "a": valued(&change.to_string()), "b": valued("b") }));
        assert_eq!(client.delete().await.status, StatusCode::NO_CONTENT);
    }
    wait_until(|| children(id).len() == processes && descriptors(id) <= files).await;
    assert_eq!(processes, 2, "one watchdog for all servers, and the process of a session");
}
