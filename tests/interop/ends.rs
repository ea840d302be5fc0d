//! What is left of the processes of servers that others made, when their session or the
//! program ends.

use std::ffi::OsString;

use crate::{
    install::{self, Python},
    scripts,
};

/// Sees the processes of a server, which are at least so many, and that none is left. The
/// server gets one call of a tool before it ends.
async fn leaves_nothing(processes: usize, call: [&str; 2], server: &[OsString]) {
    let mut arguments = vec![processes.to_string().into()];
    arguments.extend(call.map(OsString::from));
    arguments.extend(server.iter().cloned());
    scripts::run("ends.py", &arguments).await;
}

fn npm(script: &str, arguments: &[&str]) -> Vec<OsString> {
    let script = install::npm().join("node_modules").join(script);
    let command = [install::node().into(), script.into()];
    command.into_iter().chain(arguments.iter().map(OsString::from)).collect()
}

fn pypi(module: &str) -> Vec<OsString> {
    vec![install::python(Python::Servers).into(), "-m".into(), module.into()]
}

#[tokio::test]
#[ignore = "needs chromium and root"]
async fn playwright_and_its_browser_leave_nothing() {
    let options =
        ["--headless", "--no-sandbox", "--isolated", "--executable-path", "/usr/bin/chromium"];
    let page = r#"{"url":"data:text/html,<title>here</title>"}"#;
    leaves_nothing(4, ["browser_navigate", page], &npm("@playwright/mcp/cli.js", &options)).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn the_filesystem_server_leaves_nothing() {
    let server = npm("@modelcontextprotocol/server-filesystem/dist/index.js", &["/tmp"]);
    leaves_nothing(1, ["list_allowed_directories", "{}"], &server).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn the_memory_server_leaves_nothing() {
    let server = npm("@modelcontextprotocol/server-memory/dist/index.js", &[]);
    leaves_nothing(1, ["read_graph", "{}"], &server).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn the_reference_server_leaves_nothing() {
    let server = npm("@modelcontextprotocol/server-everything/dist/index.js", &["stdio"]);
    leaves_nothing(1, ["echo", r#"{"message":"hello"}"#], &server).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn the_git_server_leaves_nothing() {
    let arguments = r#"{"repo_path":"/nowhere"}"#;
    leaves_nothing(1, ["git_status", arguments], &pypi("mcp_server_git")).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn the_time_server_leaves_nothing() {
    let arguments = r#"{"timezone":"UTC"}"#;
    leaves_nothing(1, ["get_current_time", arguments], &pypi("mcp_server_time")).await;
}
