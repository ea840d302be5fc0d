//! What a tool is, and a call of it.

use std::{pin::Pin, sync::Arc, time::Duration};

use rejoin::{ClientSender, RequestContextExt, SendError};
use rmcp::{
    RoleServer, ServiceError,
    model::{
        ContentBlock, CustomNotification, JsonObject, ProgressNotificationParam, ProgressToken,
        ServerNotification,
    },
    service::RequestContext,
};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    argument::{Argument, ArgumentError, Number, Text},
    state::State,
};

pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) input: Input,
    pub(super) run: fn(Call) -> ToolFuture,
}

/// What a tool takes.
pub(super) enum Input {
    /// All of these arguments.
    Arguments(&'static [&'static dyn Argument]),
    /// What this JSON Schema says.
    Schema(fn() -> Value),
}

pub(super) type ToolFuture = Pin<Box<dyn Future<Output = ToolResult> + Send>>;
pub(super) type ToolResult = Result<Vec<ContentBlock>, ToolError>;

/// Why a tool has no result. Its caller is told.
#[derive(Debug, Error)]
pub(super) enum ToolError {
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    #[error("the call needs a progress token")]
    NoProgressToken,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the client did not declare the capability `{0}`")]
    Undeclared(&'static str),
    #[error("the client did not answer: {0}")]
    NoResponse(#[from] ServiceError),
    #[error(transparent)]
    NotDisconnected(#[from] SendError),
    #[error("the schema cannot be read: {0}")]
    Schema(#[from] serde_json::Error),
    #[error("{0} tasks of this session run in the background already")]
    TooManyTasks(usize),
    #[error("This tool intentionally returns an error for testing")]
    Intentional,
}

impl Tool {
    /// Returns what a client is told of it.
    pub(super) fn describe(&self) -> rmcp::model::Tool {
        let schema = match &self.input {
            Input::Arguments(arguments) => schema(arguments),
            Input::Schema(schema) => schema(),
        };
        rmcp::model::Tool::new(self.name, self.about, object(schema))
    }
}

/// What became of a wish to close the connection of a call.
pub(super) enum Disconnection {
    Done,
    /// A rejoin at the other end does so, if it can.
    Requested,
}

/// A call of a tool.
pub(super) struct Call {
    pub(super) state: Arc<State>,
    pub(super) context: RequestContext<RoleServer>,
    pub(super) arguments: JsonObject,
}

impl Call {
    pub(super) fn number(&self, argument: &Number) -> Result<u32, ToolError> {
        Ok(argument.read(&self.arguments)?)
    }

    pub(super) fn text(&self, argument: &Text) -> Result<&str, ToolError> {
        Ok(argument.read(&self.arguments)?)
    }

    /// Returns a time, of an argument that counts milliseconds.
    pub(super) fn millis(&self, argument: &Number) -> Result<Duration, ToolError> {
        Ok(Duration::from_millis(self.number(argument)?.into()))
    }

    pub(super) fn progress_token(&self) -> Option<ProgressToken> {
        self.context.meta.get_progress_token()
    }

    /// Waits for a time, or until the call is cancelled.
    pub(super) async fn wait(&self, time: Duration) -> Result<(), ToolError> {
        self.unless_cancelled(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
        .await
    }

    /// Reports progress, if the client wants it.
    pub(super) async fn report(&self, done: u32, total: u32) -> Result<(), ToolError> {
        let Some(token) = self.progress_token() else { return Ok(()) };
        let progress = ProgressNotificationParam::new(token, done.into()).with_total(total.into());
        self.unless_cancelled(self.context.peer.notify_progress(progress)).await
    }

    /// Logs on the stream of the call, if the client wants it.
    pub(super) async fn log(&self, text: &str) -> Result<(), ToolError> {
        let Some(message) = self.state.log.info(text) else { return Ok(()) };
        self.unless_cancelled(self.context.notify_related(message)).await
    }

    /// Ends the connection of the call, so that the client comes back after `retry`.
    pub(super) async fn disconnect(&self, retry: Duration) -> Result<Disconnection, ToolError> {
        if self.context.extensions.get::<ClientSender>().is_some() {
            self.context.disconnect(Some(retry))?;
            return Ok(Disconnection::Done);
        }
        // On stdio. Whoever does not know rejoin does not know the notification either.
        let params = json!({ "requestId": self.context.id, "retryMs": retry.as_millis() });
        let ask = CustomNotification::new("notifications/rejoin/close_stream", Some(params));
        let ask = ServerNotification::CustomNotification(ask);
        self.unless_cancelled(self.context.peer.send_notification(ask)).await?;
        Ok(Disconnection::Requested)
    }

    /// Returns what `work` does, unless the call is cancelled before.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ToolError> {
        tokio::select! {
            biased;
            () = self.context.ct.cancelled() => Err(ToolError::Cancelled),
            result = work => Ok(result?),
        }
    }
}

/// Runs a tool that has its answer already.
pub(super) fn ready(answer: ToolResult) -> ToolFuture {
    Box::pin(std::future::ready(answer))
}

/// Returns an answer that is one text.
pub(super) fn text(text: impl Into<String>) -> Vec<ContentBlock> {
    vec![ContentBlock::text(text)]
}

fn schema(arguments: &[&dyn Argument]) -> Value {
    let properties: JsonObject =
        arguments.iter().map(|argument| (argument.name().to_owned(), argument.schema())).collect();
    let required: Vec<_> = arguments.iter().map(|argument| argument.name()).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A schema that is no object allows nothing.
fn object(value: Value) -> JsonObject {
    if let Value::Object(object) = value { object } else { JsonObject::new() }
}
