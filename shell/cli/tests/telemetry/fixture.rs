//! A program that sends telemetry.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use http::Method;
use rejoin_test_support::{Client, HttpResponse, Program, program_path};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use crate::collector::{Behaviour, Collector};

/// Maximum time until a line is logged.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A program, its collector and its log.
pub(crate) struct Traced {
    pub(crate) program: Program,
    pub(crate) collector: Collector,
    log: mpsc::UnboundedReceiver<Value>,
}

impl Traced {
    /// Starts a program that sends spans and metrics at once.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let collector = Collector::start(Behaviour::Accepts).await;
        Self::start_with(collector, options, &[])
    }

    /// Starts a program with variables for the SDK.
    pub(crate) fn start_with(
        collector: Collector,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let url = collector.url.clone();
        Self::start_at(&url, collector, options, variables)
    }

    /// Starts a program whose collector is elsewhere.
    pub(crate) fn start_at(
        url: &str,
        collector: Collector,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(program_path());
        command.args(["serve", "--log-format", "json", "--otlp-endpoint", url]).args(options);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "20").env("OTEL_METRIC_EXPORT_INTERVAL", "50");
        command.envs(variables.iter().copied()).stderr(Stdio::piped());
        let mut program = Program::start(&mut command);
        let lines = BufReader::new(program.stderr()).lines().map_while(Result::ok);
        let (sender, log) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in lines {
                // The receiver ends with the test.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { program, collector, log }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::initialize(&self.program.address).await
    }

    /// Waits for the next line with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        self.logged_until(message).await.pop().unwrap()
    }

    /// Waits for the next line with this message, and returns it after those before it.
    pub(crate) async fn logged_until(&mut self, message: &str) -> Vec<Value> {
        let find = async {
            let mut lines = Vec::new();
            loop {
                let line = self.log.recv().await.unwrap();
                let is_last = line["message"].as_str().unwrap().contains(message);
                lines.push(line);
                if is_last {
                    return lines;
                }
            }
        };
        timeout(TIMEOUT, find).await.unwrap_or_else(|_| panic!("not logged: {message}"))
    }

    /// Stops the program by SIGTERM, and returns the rest of its log.
    pub(crate) async fn stop(mut self, longest: Duration) -> (Collector, Vec<Value>) {
        self.program.signal("TERM");
        assert!(self.program.exited(longest).await.unwrap().success());
        let mut lines = Vec::new();
        while let Some(line) = self.log.recv().await {
            lines.push(line);
        }
        (self.collector, lines)
    }
}

/// The ids of the trace and of the span of a client.
pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

/// Calls a tool in the trace of a client.
pub(crate) async fn traced_call(
    client: &Client,
    id: i64,
    tool: &str,
    arguments: Value,
    traceparent: &str,
    headers: &[(&'static str, &str)],
) -> HttpResponse {
    let meta = json!({ "progressToken": id, "traceparent": traceparent, "tracestate": "a=1" });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    client.send(Method::POST, call.to_string(), headers).await
}

pub(crate) fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}
