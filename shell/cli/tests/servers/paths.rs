//! The path of each server.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use http::{Method, StatusCode};
use rejoin_test_support::{LATEST_REVISION, initialize, program_path};
use serde_json::json;

use super::fixture::{Served, path, value, valued};

async fn status_of_initialize(served: &Served, path: &str) -> StatusCode {
    served.client(path).post(&initialize(LATEST_REVISION, &json!({}))).await.status
}

#[tokio::test]
async fn each_server_has_its_own_path_and_environment() {
    let servers = json!({ "one": valued("1"), "two": valued("2"), "off": { "disabled": true } });
    let served = Served::start(&servers, &[]);
    for (name, expected) in [("one", "1"), ("two", "2")] {
        assert_eq!(value(&served.open(name).await, 1).await, expected);
        assert_eq!(value(&served.open_at(&format!("{}/", path(name))).await, 1).await, expected);
    }
    for path in
        ["/mcp", "/servers/off/mcp", "/servers/no/mcp", "/servers/one", "/servers/one/mcp/x"]
    {
        assert_eq!(status_of_initialize(&served, path).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_name_gets_404_without_the_known_names() {
    let served = Served::start(&json!({ "secret-name": valued("1"), "two": valued("2") }), &[]);
    let mut response =
        served.client("/servers/guess/mcp").send(Method::GET, String::new(), &[]).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    let text = response.chunk().await.unwrap().unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("no such server") && !text.contains("secret-name"), "{text}");
}

#[tokio::test]
async fn a_session_belongs_to_one_server() {
    let served = Served::start(&json!({ "one": valued("1"), "two": valued("2") }), &[]);
    let client = served.open("one").await;
    let line = served.logged("session opened");
    assert!(line.contains("server=\"one\""), "{line}");
    let other = client.clone().with_path(&path("two"));
    assert_eq!(other.get(None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(value(&client, 1).await, "1");
}

#[tokio::test]
async fn the_only_server_is_also_at_the_path_of_the_program() {
    let served = Served::start(&json!({ "one": valued("1") }), &["--path", "/here"]);
    assert_eq!(value(&served.open_at("/here").await, 1).await, "1");
    assert_eq!(value(&served.open("one").await, 1).await, "1");
    assert_eq!(status_of_initialize(&served, "/mcp").await, StatusCode::NOT_FOUND);
}

#[test]
fn the_url_of_each_server_is_a_line_of_stdout() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let servers = json!({ "mcpServers": { "two": valued("2"), "one": valued("1") } });
    std::fs::write(file.path(), servers.to_string()).unwrap();
    let mut command = Command::new(program_path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--servers", file.path().to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<_> = stdout.lines().take(2).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines.iter().all(|line| line.starts_with("http://127.0.0.1:")), "{lines:?}");
    assert!(lines[0].ends_with("/servers/one/mcp") && lines[1].ends_with("/servers/two/mcp"));
}
