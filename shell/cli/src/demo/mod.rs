//! The demo server: an example of a [`Backend`], with tools to try lost connections and resumption
//! with.
#![expect(clippy::indexing_slicing, reason = "a member that JSON does not have is null")]

#[cfg(test)]
mod tests;
mod tools;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rejoin::{
    Backend, ClientMessages, ClientSender, OpenError,
    rejoin_core::{Profile, ProtocolVersion, RequestId},
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::tools::{RunningCall, Tool};

/// The backend. Its sessions share nothing.
pub(crate) struct Demo;

impl Backend for Demo {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        let session =
            Session { client, capabilities: OnceLock::new(), is_quiet: AtomicBool::new(false) };
        tokio::spawn(serve(Arc::new(session), messages));
        Ok(())
    }
}

/// What the calls of a session share.
struct Session {
    client: ClientSender,
    /// The capabilities that the client declared.
    capabilities: OnceLock<Value>,
    /// Whether the client set a log level above `info`.
    is_quiet: AtomicBool,
}

/// A message of the client. A response has an id, but no method.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    id: Option<RequestId>,
    method: Option<String>,
    params: Value,
    result: Value,
    error: Value,
}

/// The running calls of a session, by request id: as many as it has pending requests.
type Calls = HashMap<RequestId, RunningCall>;

/// Handles messages until the session ends. Running calls are then dropped, and so aborted.
async fn serve(session: Arc<Session>, mut messages: ClientMessages) {
    let mut calls = Calls::new();
    while let Some(message) = messages.recv().await {
        match serde_json::from_slice(&message) {
            Ok(message) => session.handle(message, &mut calls),
            // Pending requests fail with this reason.
            Err(error) => return messages.close(format!("cannot parse a message: {error}")),
        }
    }
}

/// A result, or the code and message of a JSON-RPC error.
type Response = Result<Value, (i32, String)>;

impl Session {
    fn handle(self: &Arc<Self>, message: Message, calls: &mut Calls) {
        let params = &message.params;
        match (message.method.as_deref(), &message.id) {
            (Some("tools/call"), Some(id)) => {
                calls.retain(|_, call| !call.task.is_finished());
                match Tool::deserialize(params) {
                    Ok(tool) => {
                        let token = params["_meta"]["progressToken"].clone();
                        calls.insert(id.clone(), RunningCall::start(self, id, token, tool));
                    }
                    Err(error) => self.respond(id, Err((-32_602, error.to_string()))),
                }
            }
            (Some(method), Some(id)) => self.respond(id, self.result(method, params)),
            // Comes from the client, or from the session if the response cannot be delivered.
            (Some("notifications/cancelled"), None) => {
                if let Ok(request) = RequestId::deserialize(&params["requestId"]) {
                    calls.remove(&request);
                }
            }
            // The id of a server request is that of the call which sent it.
            (None, Some(id)) => {
                if let Some(call) = calls.get(id) {
                    // An error means that the call does not wait for a response.
                    let _ = call.responses.try_send(message);
                }
            }
            (Some(_) | None, None) => {}
        }
    }

    /// Returns the result of a request that is complete at once.
    fn result(&self, method: &str, params: &Value) -> Response {
        match method {
            "initialize" => {
                let requested = params["protocolVersion"].as_str().and_then(ProtocolVersion::new);
                // The core rejects a second `initialize`.
                let _ = self.capabilities.set(params["capabilities"].clone());
                Ok(json!({
                    "protocolVersion": Profile::governing(requested).version,
                    "capabilities": { "logging": {}, "tools": {} },
                    "serverInfo": { "name": "rejoin-demo", "version": env!("CARGO_PKG_VERSION") },
                }))
            }
            "ping" => Ok(json!({})),
            "logging/setLevel" => {
                let is_quiet = !matches!(params["level"].as_str(), Some("debug" | "info"));
                self.is_quiet.store(is_quiet, Ordering::Relaxed);
                Ok(json!({}))
            }
            "tools/list" => Ok(tools::list()),
            _ => Err((-32_601, format!("unknown method `{method}`"))),
        }
    }

    /// Responds to a request, without waiting for backpressure: it is only one message.
    fn respond(&self, id: &RequestId, response: Response) {
        let (member, value) = match response {
            Ok(result) => ("result", result),
            Err((code, message)) => ("error", json!({ "code": code, "message": message })),
        };
        let response = json!({ "jsonrpc": "2.0", "id": id, member: value });
        // An error means that the session has ended.
        drop(self.client.send(response.to_string(), None));
    }
}
