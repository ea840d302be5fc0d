//! The demo server: a backend with a few tools to try lost connections and resumption with.
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
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::tools::Call;

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

/// A running call of a tool.
struct RunningCall {
    task: AbortOnDropHandle<()>,
    /// Sends it the response to its server request.
    responses: mpsc::Sender<Message>,
}

/// Maximum number of running calls in a session.
const CALLS_MAX: usize = 1_000;

/// Handles messages until the session ends. Running calls are then dropped, and so aborted.
async fn serve(session: Arc<Session>, mut messages: ClientMessages) -> serde_json::Result<()> {
    let mut calls: HashMap<RequestId, RunningCall> = HashMap::new();
    while let Some(message) = messages.recv().await {
        let message: Message = serde_json::from_slice(&message)?;
        calls.retain(|_, call| !call.task.is_finished());
        match (message.method.as_deref(), &message.id) {
            (Some("tools/call"), Some(id)) if calls.len() < CALLS_MAX => {
                let id = id.clone();
                let (responses, receiver) = mpsc::channel(1);
                let call = Call::new(Arc::clone(&session), id.clone(), message.params, receiver);
                let task = AbortOnDropHandle::new(tokio::spawn(call.run()));
                calls.insert(id, RunningCall { task, responses });
            }
            (Some(method), Some(id)) => session.respond(id, handle(&session, method, &message)),
            (Some("notifications/cancelled"), None) => {
                if let Ok(request) = RequestId::deserialize(&message.params["requestId"]) {
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
    Ok(())
}

/// The code and the message of a JSON-RPC error.
type Error = (i32, String);

/// Handles a request that is complete at once.
fn handle(session: &Session, method: &str, message: &Message) -> Result<Value, Error> {
    let params = &message.params;
    match method {
        "initialize" => {
            let requested = params["protocolVersion"].as_str().and_then(ProtocolVersion::new);
            // The core rejects a second `initialize`.
            let _ = session.capabilities.set(params["capabilities"].clone());
            Ok(json!({
                "protocolVersion": Profile::governing(requested).version,
                "capabilities": { "logging": {}, "tools": {} },
                "serverInfo": { "name": "rejoin-demo", "version": env!("CARGO_PKG_VERSION") },
            }))
        }
        "ping" => Ok(json!({})),
        "logging/setLevel" => {
            let is_quiet = !matches!(params["level"].as_str(), Some("debug" | "info"));
            session.is_quiet.store(is_quiet, Ordering::Relaxed);
            Ok(json!({}))
        }
        "tools/list" => Ok(tools::list()),
        "tools/call" => Err((-32_603, format!("the session has {CALLS_MAX} calls already"))),
        _ => Err((-32_601, format!("unknown method `{method}`"))),
    }
}

impl Session {
    /// Returns whether the client declared a capability.
    fn has(&self, capability: &str) -> bool {
        self.capabilities.get().is_some_and(|declared| declared.get(capability).is_some())
    }

    /// Responds to a request, without waiting for backpressure: it is only one message.
    fn respond(&self, id: &RequestId, result: Result<Value, Error>) {
        let response = match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                let error = json!({ "code": code, "message": message });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        };
        // An error means that the session has ended.
        drop(self.client.send(response.to_string(), None));
    }
}
