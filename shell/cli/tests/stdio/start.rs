//! Start of children.

use http::StatusCode;
use rejoin_test_support::{
    Client, LATEST_REVISION, Program, initialize,
    processes::group_of,
    program_path,
    script::{ECHO, pid, result, serve},
};
use serde_json::json;

#[tokio::test]
async fn messages_reach_the_child_unchanged() {
    let program = serve(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    for id in 1..20 {
        let received = &result(&client, id, json!({ "a": "ö\n\"" })).await["received"];
        assert_eq!(received["params"]["arguments"]["a"], "ö\n\"");
    }
}

#[tokio::test]
async fn each_session_has_its_own_process() {
    let program = serve(&[], r#"while receive; do respond "{\"pid\":$$}"; done"#);
    let first = Client::initialize(&program.address).await;
    let second = Client::initialize(&program.address).await;
    let (a, b) = (result(&first, 1, json!({})).await, result(&second, 1, json!({})).await);
    assert_ne!(a, b);
    let first_again = second.with_session(first.session());
    assert_eq!(result(&first_again, 2, json!({})).await, a);
}

#[tokio::test]
async fn child_leads_its_own_group() {
    let program = serve(&[], r#"while receive; do respond "{\"pid\":$$}"; done"#);
    let client = Client::initialize(&program.address).await;
    let child = pid(&client, 1).await;
    assert_eq!(group_of(child), child);
}

#[tokio::test]
async fn error_names_the_command_that_cannot_be_started() {
    let directory = tempfile::tempdir().unwrap();
    let command = directory.path().join("command");
    std::os::unix::fs::symlink("/bin/sh", &command).unwrap();
    let command = command.to_str().unwrap();
    let program = Program::serve(&["--", command]);
    // It existed when the program started.
    std::fs::remove_file(command).unwrap();
    let new_client = Client::new(&program.address);
    let mut response = new_client.post(&initialize(LATEST_REVISION, &json!({}))).await;
    assert_eq!(response.status, StatusCode::BAD_GATEWAY);
    assert!(!response.headers.contains_key("mcp-session-id"));
    let message = response.json().await["error"]["message"].to_string();
    assert!(message.contains(command) && message.contains("No such file"), "{message}");
}

#[test]
fn missing_command_is_reported_at_startup() {
    for (command, reason) in [
        ("/no/such/command", "No such file"),
        ("/etc/passwd", "ermission"),
        ("no-such-command", "no such command in PATH"),
        ("/bin", "is a directory"),
    ] {
        let rejoin = program_path();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--", command];
        let output = std::process::Command::new(rejoin).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(command) && stderr.contains(reason), "{stderr}");
    }
}

#[tokio::test]
async fn command_is_looked_up_in_its_own_path_and_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", directory.path().join("its-own-sh")).unwrap();
    let path = format!("PATH={}:/usr/bin:/bin", directory.path().display());
    drop(Program::serve(&["--env", &path, "--", "its-own-sh"]));
    drop(Program::serve(&["--cwd", directory.path().to_str().unwrap(), "--", "./its-own-sh"]));
}

#[tokio::test]
async fn environment_and_directory_are_as_configured() {
    let options = ["--env", "A=b c", "--env", "PWD", "--env", "HOME", "--cwd", "/usr/bin"];
    let script =
        r#"receive; respond "{\"a\":\"$A\",\"home\":\"${HOME-none}\",\"cwd\":\"$(pwd)\"}""#;
    let program = serve(&options, script);
    let client = Client::initialize(&program.address).await;
    let expected = json!({ "a": "b c", "home": "none", "cwd": "/usr/bin" });
    assert_eq!(result(&client, 1, json!({})).await, expected);
}

#[tokio::test]
async fn variables_of_options_are_not_inherited() {
    let script = r#"receive; respond "{\"level\":\"${REJOIN_LOG_LEVEL-none}\",\"path\":\"${REJOIN_PATH-none}\"}""#;
    // Programs of tests get their log level by its variable.
    let program = serve(&["--env", "REJOIN_PATH=/its/own"], script);
    let client = Client::initialize(&program.address).await;
    let expected = json!({ "level": "none", "path": "/its/own" });
    assert_eq!(result(&client, 1, json!({})).await, expected);
}
