//! The tools of the demo server, each for one kind of traffic.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rejoin::{SendError, rejoin_core::RequestId};
use serde_json::{Map, Value, json};
use tokio::{sync::mpsc, task::coop, time::sleep};

use super::{Message, Session};

/// The definition of a tool.
struct Tool {
    name: &'static str,
    about: &'static str,
    /// The required arguments, and their JSON types.
    arguments: &'static [(&'static str, &'static str)],
}

const TOOLS: [Tool; 6] = [
    Tool {
        name: "echo",
        about: "Returns the message immediately",
        arguments: &[("message", "string")],
    },
    Tool {
        name: "count",
        about: "Counts up and reports progress at each step, then responds",
        arguments: &[("total", "integer"), ("interval_ms", "integer")],
    },
    Tool {
        name: "ask",
        about: "Asks the user a question (elicitation) and returns the answer",
        arguments: &[("question", "string")],
    },
    Tool {
        name: "complete",
        about: "Sends a prompt to the client's model (sampling) and returns the completion",
        arguments: &[("prompt", "string")],
    },
    Tool {
        name: "poll",
        about: "Closes the connection of the call, so that the client resumes it after a delay",
        arguments: &[("ms", "integer")],
    },
    Tool {
        name: "announce",
        about: "Responds immediately, then sends log messages that belong to no request",
        arguments: &[("count", "integer"), ("interval_ms", "integer")],
    },
];

/// Maximum value of an integer.
const INTEGER_MAX: u64 = 1_000_000;

/// Returns the result of `tools/list`.
pub(super) fn list() -> Value {
    let tools = TOOLS.map(|Tool { name, about, arguments }| {
        let property = |(name, kind): &(&str, &str)| ((*name).to_owned(), json!({ "type": kind }));
        let properties: Map<_, _> = arguments.iter().map(property).collect();
        let required: Vec<_> = arguments.iter().map(|(name, _)| name).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        json!({ "name": name, "description": about, "inputSchema": schema })
    });
    json!({ "tools": tools })
}

/// A call of a tool.
pub(super) struct Call {
    session: Arc<Session>,
    id: RequestId,
    params: Value,
    /// The responses to its server requests.
    responses: mpsc::Receiver<Message>,
}

impl Call {
    pub(super) fn new(
        session: Arc<Session>,
        id: RequestId,
        params: Value,
        responses: mpsc::Receiver<Message>,
    ) -> Self {
        Self { session, id, params, responses }
    }

    /// Runs the tool, and responds.
    pub(super) async fn run(mut self) {
        let name = self.params["name"].as_str().unwrap_or_default().to_owned();
        let result = match name.as_str() {
            "echo" => self.text("message").map(str::to_owned),
            "count" => self.count().await,
            "ask" => self.ask().await,
            "complete" => self.complete().await,
            "poll" => self.poll().await,
            "announce" => self.number("count").map(|count| format!("{count} announcements follow")),
            _ => {
                self.session.respond(&self.id, Err((-32_602, format!("unknown tool `{name}`"))));
                return;
            }
        };
        let is_error = result.is_err();
        let text = result.unwrap_or_else(|error| error.to_string());
        let content = json!([{ "type": "text", "text": text }]);
        self.session.respond(&self.id, Ok(json!({ "content": content, "isError": is_error })));
        if name == "announce" {
            // An error has been reported, or means that the session has ended.
            let _ = self.announce().await;
        }
    }

    async fn count(&self) -> anyhow::Result<String> {
        let (total, interval) = (self.number("total")?, self.millis("interval_ms")?);
        let token = &self.params["_meta"]["progressToken"];
        for progress in 1..=total {
            wait(interval).await;
            if !token.is_null() {
                let params =
                    json!({ "progressToken": token, "progress": progress, "total": total });
                self.send("notifications/progress", &params).await?;
            }
        }
        Ok(format!("counted to {total}"))
    }

    async fn ask(&mut self) -> anyhow::Result<String> {
        ensure!(self.session.has("elicitation"), "the client did not declare `elicitation`");
        let schema = json!({
            "type": "object",
            "properties": { "answer": { "type": "string", "description": "The answer" } },
            "required": ["answer"],
        });
        let params = json!({ "message": self.text("question")?, "requestedSchema": schema });
        let result = self.request("elicitation/create", &params).await?;
        Ok(match result["action"].as_str() {
            Some("accept") => {
                format!("the user said: {}", result["content"]["answer"].as_str().unwrap_or(""))
            }
            Some("decline") => "the user declined".to_owned(),
            _ => "the user cancelled".to_owned(),
        })
    }

    async fn complete(&mut self) -> anyhow::Result<String> {
        ensure!(self.session.has("sampling"), "the client did not declare `sampling`");
        let content = json!({ "type": "text", "text": self.text("prompt")? });
        let messages = json!([{ "role": "user", "content": content }]);
        let params = json!({ "messages": messages, "maxTokens": 100 });
        let result = self.request("sampling/createMessage", &params).await?;
        Ok(format!("the model said: {}", result["content"]["text"].as_str().unwrap_or("")))
    }

    async fn poll(&self) -> anyhow::Result<String> {
        let delay = self.millis("ms")?;
        let disconnected = self.session.client.disconnect(&self.id, Some(delay));
        wait(delay).await;
        Ok(match disconnected {
            Ok(()) => "the connection was closed meanwhile".to_owned(),
            Err(error) => format!("the connection was left open: {error}"),
        })
    }

    async fn announce(&self) -> anyhow::Result<()> {
        let (count, interval) = (self.number("count")?, self.millis("interval_ms")?);
        for number in 1..=count {
            wait(interval).await;
            if !self.session.is_quiet.load(Ordering::Relaxed) {
                let text = format!("announcement {number} of {count}");
                let params = json!({ "level": "info", "logger": "rejoin-demo", "data": text });
                let message = notification("notifications/message", &params);
                self.session.client.send(message, None).await?;
            }
        }
        Ok(())
    }

    /// Sends a notification on the stream of the call, at the pace at which the client reads.
    async fn send(&self, method: &str, params: &Value) -> Result<(), SendError> {
        self.session.client.send(notification(method, params), Some(self.id.clone())).await
    }

    /// Sends a request to the client on the stream of the call, and returns the result.
    async fn request(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        // At most one is pending, so the id of the call can be used again.
        let request =
            json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        self.session.client.send(request.to_string(), Some(self.id.clone())).await?;
        let Message { result, error, .. } =
            self.responses.recv().await.context("the session has ended")?;
        ensure!(error.is_null(), "the client responded with an error: {}", error["message"]);
        Ok(result)
    }

    fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.argument(name).as_str().with_context(|| format!("`{name}` must be a string"))
    }

    fn number(&self, name: &str) -> anyhow::Result<u64> {
        let number = self.argument(name).as_u64().filter(|number| *number <= INTEGER_MAX);
        number.with_context(|| format!("`{name}` must be an integer from 0 to {INTEGER_MAX}"))
    }

    fn millis(&self, name: &str) -> anyhow::Result<Duration> {
        self.number(name).map(Duration::from_millis)
    }

    fn argument(&self, name: &str) -> &Value {
        &self.params["arguments"][name]
    }
}

fn notification(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

/// Waits. Even without a delay, lets other tasks run now and then.
async fn wait(delay: Duration) {
    if delay.is_zero() {
        coop::consume_budget().await;
    } else {
        sleep(delay).await;
    }
}
