//! The tools of the demo server, each for one kind of traffic.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rejoin::{SendError, rejoin_core::RequestId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::coop, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Message, Session};

/// A tool, with the arguments of a call.
#[derive(Deserialize)]
#[serde(tag = "name", content = "arguments", rename_all = "lowercase")]
pub(super) enum Tool {
    Echo { message: String },
    Count { total: u32, interval_ms: u32 },
    Ask { question: String },
    Complete { prompt: String },
    Poll { ms: u32 },
    Announce { count: u32, interval_ms: u32 },
}

/// Returns the result of `tools/list`.
pub(super) fn list() -> Value {
    let tool = |name, description, arguments: &[&str], kind| {
        let property = |name: &&str| ((*name).to_owned(), json!({ "type": kind }));
        let properties: serde_json::Map<_, _> = arguments.iter().map(property).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": arguments });
        json!({ "name": name, "description": description, "inputSchema": schema })
    };
    json!({ "tools": [
        tool("echo", "Returns the message", &["message"], "string"),
        tool("count", "Reports progress at each step", &["total", "interval_ms"], "integer"),
        tool("ask", "Asks the user a question (elicitation)", &["question"], "string"),
        tool("complete", "Asks the model of the client (sampling)", &["prompt"], "string"),
        tool("poll", "Closes its connection: the client resumes after a delay", &["ms"], "integer"),
        tool("announce", "Sends log messages", &["count", "interval_ms"], "integer"),
    ]})
}

/// A running call, which is aborted when this is dropped.
pub(super) struct RunningCall {
    pub(super) task: AbortOnDropHandle<()>,
    /// Sends it the response to its server request.
    pub(super) responses: mpsc::Sender<Message>,
}

impl RunningCall {
    pub(super) fn start(session: &Arc<Session>, id: &RequestId, token: Value, tool: Tool) -> Self {
        let (sender, responses) = mpsc::channel(1);
        let call = Call { session: Arc::clone(session), id: id.clone(), token, responses };
        let task = AbortOnDropHandle::new(tokio::spawn(call.run(tool)));
        Self { task, responses: sender }
    }
}

/// A call of a tool.
struct Call {
    session: Arc<Session>,
    id: RequestId,
    /// The progress token of the request, or null.
    token: Value,
    /// The responses to its server requests.
    responses: mpsc::Receiver<Message>,
}

impl Call {
    async fn run(mut self, tool: Tool) {
        let result = match tool {
            Tool::Echo { message } => Ok(message),
            Tool::Count { total, interval_ms } => self.count(total, interval_ms).await,
            Tool::Ask { question } => self.ask(&question).await,
            Tool::Complete { prompt } => self.complete(&prompt).await,
            Tool::Poll { ms } => self.poll(ms).await,
            Tool::Announce { count, interval_ms } => self.announce(count, interval_ms).await,
        };
        let is_error = result.is_err();
        let text = result.unwrap_or_else(|error| error.to_string());
        let content = json!([{ "type": "text", "text": text }]);
        self.session.respond(&self.id, Ok(json!({ "content": content, "isError": is_error })));
    }

    async fn count(&self, total: u32, interval_ms: u32) -> anyhow::Result<String> {
        for progress in 1..=total {
            wait(interval_ms).await;
            if !self.token.is_null() {
                let params =
                    json!({ "progressToken": self.token, "progress": progress, "total": total });
                self.notify("notifications/progress", &params, Some(&self.id)).await?;
            }
        }
        Ok(format!("counted to {total}"))
    }

    async fn ask(&mut self, question: &str) -> anyhow::Result<String> {
        let properties = json!({ "answer": { "type": "string" } });
        let schema = json!({ "type": "object", "properties": properties, "required": ["answer"] });
        let params = json!({ "message": question, "requestedSchema": schema });
        let result = self.request("elicitation", "elicitation/create", &params).await?;
        let answer = &result["content"]["answer"];
        Ok(match (result["action"].as_str(), answer.as_str()) {
            (Some("accept"), Some(answer)) => format!("the user said: {answer}"),
            _ => "the user did not answer".to_owned(),
        })
    }

    async fn complete(&mut self, prompt: &str) -> anyhow::Result<String> {
        let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
        let params = json!({ "messages": [message], "maxTokens": 100 });
        let result = self.request("sampling", "sampling/createMessage", &params).await?;
        let completion = result["content"]["text"].as_str().unwrap_or_default();
        Ok(format!("the model said: {completion}"))
    }

    async fn poll(&self, ms: u32) -> anyhow::Result<String> {
        let delay = Duration::from_millis(ms.into());
        self.session.client.disconnect(&self.id, Some(delay))?;
        sleep(delay).await;
        Ok("the connection was closed meanwhile".to_owned())
    }

    async fn announce(&self, count: u32, interval_ms: u32) -> anyhow::Result<String> {
        for number in 1..=count {
            wait(interval_ms).await;
            if !self.session.is_quiet.load(Ordering::Relaxed) {
                let text = format!("announcement {number} of {count}");
                let params = json!({ "level": "info", "logger": "rejoin-demo", "data": text });
                self.notify("notifications/message", &params, None).await?;
            }
        }
        Ok(format!("announced {count} times"))
    }

    /// Sends a notification on the stream of a request, or on the standalone stream, at the pace
    /// at which the client reads.
    async fn notify(
        &self,
        method: &str,
        params: &Value,
        request: Option<&RequestId>,
    ) -> Result<(), SendError> {
        let notification = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.session.client.send(notification.to_string(), request.cloned()).await
    }

    /// Sends a request to the client on the stream of the call, and returns the result.
    async fn request(
        &mut self,
        capability: &str,
        method: &str,
        params: &Value,
    ) -> anyhow::Result<Value> {
        let declared = self.session.capabilities.get().and_then(|all| all.get(capability));
        ensure!(declared.is_some(), "the client did not declare `{capability}`");
        // At most one is pending, so the id of the call can be used again.
        let request =
            json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        self.session.client.send(request.to_string(), Some(self.id.clone())).await?;
        let Message { result, error, .. } =
            self.responses.recv().await.context("the session has ended")?;
        ensure!(error.is_null(), "the client responded with an error: {}", error["message"]);
        Ok(result)
    }
}

/// Waits. Even without a delay, lets other tasks run now and then.
async fn wait(ms: u32) {
    if ms == 0 {
        coop::consume_budget().await;
    } else {
        sleep(Duration::from_millis(ms.into())).await;
    }
}
