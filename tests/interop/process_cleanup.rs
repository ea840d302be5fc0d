//! Processes of third-party servers after the end of their session or of the program.

use std::ffi::OsString;

use crate::{
    install::{self, Python},
    scripts,
};

/// Checks that a server has at least `processes` processes after one tool call, and that none of
/// them remains at the end.
async fn leaves_no_processes(processes: usize, call: [&str; 2], server: &[OsString]) {
    let mut arguments = vec![processes.to_string().into()];
    arguments.extend(call.map(OsString::from));
    arguments.extend(server.iter().cloned());
    scripts::run("process_cleanup.py", &arguments).await;
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
async fn playwright_leaves_no_processes() {
    let options =
        ["--headless", "--no-sandbox", "--isolated", "--executable-path", "/usr/bin/chromium"];
    let page = r#"{"url":"data:text/html,<title>here</title>"}"#;
    leaves_no_processes(4, ["browser_navigate", page], &npm("@playwright/mcp/cli.js", &options))
        .await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn filesystem_server_leaves_no_processes() {
    let server = npm("@modelcontextprotocol/server-filesystem/dist/index.js", &["/tmp"]);
    leaves_no_processes(1, ["list_allowed_directories", "{}"], &server).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn memory_server_leaves_no_processes() {
    let server = npm("@modelcontextprotocol/server-memory/dist/index.js", &[]);
    leaves_no_processes(1, ["read_graph", "{}"], &server).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn reference_server_leaves_no_processes() {
    let server = npm("@modelcontextprotocol/server-everything/dist/index.js", &["stdio"]);
    leaves_no_processes(1, ["echo", r#"{"message":"hello"}"#], &server).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn git_server_leaves_no_processes() {
    let arguments = r#"{"repo_path":"/nowhere"}"#;
    leaves_no_processes(1, ["git_status", arguments], &pypi("mcp_server_git")).await;
}

#[tokio::test]
#[ignore = "installs packages and needs root"]
async fn time_server_leaves_no_processes() {
    let arguments = r#"{"timezone":"UTC"}"#;
    leaves_no_processes(1, ["get_current_time", arguments], &pypi("mcp_server_time")).await;
}
