//! Stdio server behind the gateways, and a client that uses it without one.

use std::{
    io::{BufRead as _, BufReader, Write as _, stdin, stdout},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    measure::{Metric, Readings, Trial},
    message::{self, REVISION, Tool},
    report::quantile,
};

/// The same metric as over HTTP.
const MEDIAN: Metric = Metric::cost("p50", "µs");

/// Responds to every request, one message per line.
pub(crate) fn serve() -> Result<()> {
    for line in stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let (Some(method), Some(id)) = (message.get("method"), message.get("id")) else { continue };
        let result = match method.as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": REVISION,
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "bench", "version": "0" },
            }),
            "tools/list" => json!({
                "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }],
            }),
            "tools/call" => {
                let text = message.pointer("/params/arguments/message");
                json!({ "content": [{ "type": "text", "text": text }], "isError": false })
            }
            _ => json!({}),
        };
        let mut response = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
        response.push('\n');
        stdout().lock().write_all(response.as_bytes())?;
    }
    Ok(())
}

/// Creates a trial that calls the stdio server directly, one call at a time.
pub(super) fn bare_pipe(
    workload: &str,
    child: &[PathBuf],
    text: &str,
    window: Duration,
) -> Result<Trial> {
    let mut pipe = Pipe::open(child)?;
    let text = text.to_owned();
    let round = move || pipe.measure(&text, window);
    Ok(Trial {
        workload: workload.to_owned(),
        subject: "stdio pipe, 1 session",
        round: Box::new(round),
    })
}

struct Pipe {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    next: i64,
}

impl Pipe {
    fn open(command: &[PathBuf]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, stdin, stdout, next: 1_000_000 })
    }

    fn measure(&mut self, text: &str, window: Duration) -> Result<Readings> {
        let mut latencies = Vec::new();
        let mut line = String::new();
        let round_start = Instant::now();
        while round_start.elapsed() < window {
            let mut request = message::call(self.next, Tool::Echo, text);
            self.next += 1;
            request.push('\n');
            let start = Instant::now();
            self.stdin.write_all(request.as_bytes())?;
            line.clear();
            self.stdout.read_line(&mut line)?;
            latencies.push(start.elapsed().as_secs_f64() * 1e6);
            ensure!(line.contains(text), "unexpected response: {line}");
        }
        latencies.sort_by(f64::total_cmp);
        Ok(vec![(MEDIAN, quantile(&latencies, 0.5))])
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
