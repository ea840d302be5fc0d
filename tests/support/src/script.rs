//! Servers as short shell scripts.

use serde_json::Value;

use crate::{Client, Program, processes::group_of};

/// Functions for every script, and the handling of `initialize`.
pub const PRELUDE: &str = r#"
receive() {
    IFS= read -r line || exit 0
    rest=${line#*'"id":'}
    id=${rest%%[,\}]*}
}
respond() {
    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"
}
receive
respond '{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sh","version":"0"}}'
receive
"#;

/// Answers every request with the message that it received.
pub const ECHO: &str = r#"while receive; do respond "{\"received\":$line}"; done"#;

/// Starts a grandchild that ignores all signals but SIGKILL; `$grandchild` is its id.
pub const STUBBORN: &str = r#"
sh -c 'trap "" TERM HUP INT; while :; do sleep 1; done' <&0 &
grandchild=$!
"#;

/// Starts the program with a shell that runs `script` for each session.
#[must_use]
pub fn serve(options: &[&str], script: &str) -> Program {
    let script = with_prelude(script);
    Program::serve(&[options, &["--", "/bin/sh", "-c", &script]].concat())
}

/// Returns a script that begins with [`PRELUDE`].
#[must_use]
pub fn with_prelude(script: &str) -> String {
    format!("{PRELUDE}\n{script}")
}

/// Calls a tool, and returns the result.
pub async fn result(client: &Client, id: i64, arguments: Value) -> Value {
    client.call(id, "any", arguments).await.response().await["result"].take()
}

/// Returns the process group of a script that answers `{"pid":…}`.
pub async fn group(client: &Client, id: i64) -> i32 {
    group_of(pid(client, id).await)
}

/// Returns the process id of a script that answers `{"pid":…}`.
pub async fn pid(client: &Client, id: i64) -> i32 {
    let pid = &result(client, id, Value::Null).await["pid"];
    pid.as_i64().and_then(|pid| pid.try_into().ok()).unwrap()
}
