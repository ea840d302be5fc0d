//! A program that serves a file, and reloads it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rejoin_test_support::{Client, LogLines, Program, program_path, script};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// A program that serves a file.
pub(crate) struct Served {
    pub(crate) program: Program,
    file: NamedTempFile,
    log: LogLines,
}

impl Served {
    /// Starts the program with the servers of a file.
    pub(crate) fn start(servers: &Value, options: &[&str]) -> Self {
        let file = NamedTempFile::new().unwrap();
        write(file.path(), servers);
        let mut command = Command::new(program_path());
        command.args(["serve", "--servers", file.path().to_str().unwrap()]).args(options);
        command.env("REJOIN_LOG_LEVEL", "info").env("REJOIN_MAX_CONNECTIONS", "500");
        let mut program = Program::start(command.stderr(Stdio::piped()));
        let log = LogLines::of(&mut program);
        Self { program, file, log }
    }

    /// Opens a session of a server.
    pub(crate) async fn open(&self, name: &str) -> Client {
        self.open_at(&path(name)).await
    }

    /// Opens a session at a path.
    pub(crate) async fn open_at(&self, path: &str) -> Client {
        self.client(path).opened(&json!({})).await
    }

    /// Returns a client without a session.
    pub(crate) fn client(&self, path: &str) -> Client {
        Client::new(&self.program.address).with_path(path)
    }

    /// Changes the file, reloads it, and returns the line about that in the log.
    pub(crate) fn reload(&self, servers: &Value) -> String {
        self.reload_text(&file_of(servers))
    }

    /// The same with the text of the file.
    pub(crate) fn reload_text(&self, text: &str) -> String {
        std::fs::write(self.file.path(), text).unwrap();
        self.program.signal("HUP");
        self.logged("reloaded")
    }

    /// Waits for a line of the log that contains a text.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.log.next_with(text)
    }
}

/// Returns the path of a server.
pub(crate) fn path(name: &str) -> String {
    format!("/servers/{name}/mcp")
}

fn write(path: &Path, servers: &Value) {
    std::fs::write(path, file_of(servers)).unwrap();
}

fn file_of(servers: &Value) -> String {
    json!({ "mcpServers": servers }).to_string()
}

/// Returns a server that answers each request with the value of `$VALUE`, its process id and the
/// number of requests.
pub(crate) fn valued(value: &str) -> Value {
    let answer = r#"while receive; do
        n=$((n+1)); respond "{\"value\":\"$VALUE\",\"pid\":$$,\"requests\":$n}"; done"#;
    json!({
        "command": "/bin/sh",
        "args": ["-c", script::with_prelude(answer).replace("${", "$${")],
        "env": { "VALUE": value },
    })
}

/// Calls a valued server, and returns its value.
pub(crate) async fn value(client: &Client, id: i64) -> String {
    script::result(client, id, Value::Null).await["value"].as_str().unwrap().to_owned()
}
