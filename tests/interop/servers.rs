//! Third-party stdio servers, served over HTTP.

use std::{ffi::OsString, fs, path::Path};

use tokio::process::Command;

use crate::{
    install::{self, Python},
    process, program,
};

#[tokio::test]
#[ignore = "installs packages"]
async fn reference_server_is_served() {
    let script =
        install::npm().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let server = [install::node().into(), script.into(), "stdio".into()];
    call_returns(&server, "echo", r#"{"message":"hello"}"#, "Echo: hello").await;
}

#[tokio::test]
#[ignore = "installs packages"]
async fn python_sdk_server_is_served() {
    let server = [install::python(Python::Sdk2).into(), "-m".into(), "mcp_server_time".into()];
    let noon = r#"{"source_timezone":"UTC","time":"12:00","target_timezone":"Asia/Tokyo"}"#;
    call_returns(&server, "convert_time", noon, "T21:00:00+09:00").await;
}

/// The server sends the content both as text and as structured content.
#[tokio::test]
#[ignore = "installs packages"]
async fn filesystem_server_reads_a_file_of_5_mb() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("filesystem-server");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("large.txt");
    let line = format!("{}\n", "x".repeat(79));
    fs::write(&file, format!("{}the end", line.repeat(5_000_000 / line.len()))).unwrap();
    let script =
        install::npm().join("node_modules/@modelcontextprotocol/server-filesystem/dist/index.js");
    let server = [install::node().into(), script.into(), directory.into()];
    let arguments = format!(r#"{{"path":"{}"}}"#, file.display());
    call_returns(&server, "read_text_file", &arguments, "the end").await;
}

async fn call_returns(server: &[OsString], tool: &str, arguments: &str, expected: &str) {
    let running = program::serve(server);
    let mut client = Command::new(install::node());
    client.arg(install::npm().join("any-server.mjs"));
    process::run(client.args([&running.url, tool, arguments, expected])).await;
}
