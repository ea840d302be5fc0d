//! Definition of a tool, and the context of a call.

use std::{pin::Pin, sync::Arc, time::Duration};

use rejoin::{ClientSender, RequestContextExt, SendError};
use rmcp::{
    RoleServer, ServiceError,
    model::{
        ContentBlock, CustomNotification, JsonObject, ProgressNotificationParam, ServerNotification,
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

/// The input of a tool.
pub(super) enum Input {
    /// These arguments, all required.
    Arguments(&'static [&'static dyn Argument]),
    /// Any object, with this JSON Schema.
    Schema(fn() -> Value),
}

pub(super) type ToolFuture = Pin<Box<dyn Future<Output = ToolResult> + Send>>;
pub(super) type ToolResult = Result<Vec<ContentBlock>, ToolError>;

/// Why a tool call failed, as reported to the client.
#[derive(Debug, Error)]
pub(super) enum ToolError {
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the client did not declare the capability `{0}`")]
    Undeclared(&'static str),
    #[error("request to the client failed: {0}")]
    NoResponse(#[from] ServiceError),
    #[error(transparent)]
    NotDisconnected(#[from] SendError),
    #[error("invalid schema: {0}")]
    Schema(#[from] serde_json::Error),
    #[error("this session has {0} background tasks already")]
    TooManyTasks(usize),
    #[error("This tool intentionally returns an error for testing")]
    Intentional,
}

impl Tool {
    /// Returns the definition that `tools/list` shows.
    pub(super) fn describe(&self) -> rmcp::model::Tool {
        let schema = match &self.input {
            Input::Arguments(arguments) => schema(arguments),
            Input::Schema(schema) => schema(),
        };
        rmcp::model::Tool::new(self.name, self.about, object(schema))
    }
}

/// How a call was disconnected.
pub(super) enum Disconnection {
    Done,
    /// Sent to the rejoin server at the other end of stdio, if there is one.
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

    /// Returns the duration of an argument in milliseconds.
    pub(super) fn millis(&self, argument: &Number) -> Result<Duration, ToolError> {
        Ok(Duration::from_millis(self.number(argument)?.into()))
    }

    /// Sleeps, unless the call is cancelled. Even a sleep of zero lasts up to a millisecond, so
    /// there is none then.
    pub(super) async fn wait(&self, time: Duration) -> Result<(), ToolError> {
        if time.is_zero() {
            return Ok(());
        }
        self.unless_cancelled(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
        .await
    }

    /// Reports progress, if the call has a progress token.
    pub(super) async fn report(&self, done: u32, total: u32) -> Result<(), ToolError> {
        let Some(token) = self.context.meta.get_progress_token() else { return Ok(()) };
        let progress = ProgressNotificationParam::new(token, done.into()).with_total(total.into());
        self.unless_cancelled(self.context.peer.notify_progress(progress)).await
    }

    /// Sends a log message on the stream of the call, unless the client has set a higher level.
    pub(super) async fn log(&self, text: &str) -> Result<(), ToolError> {
        let Some(message) = self.state.log.info(text) else { return Ok(()) };
        self.unless_cancelled(self.context.notify_related(message)).await
    }

    /// Disconnects the call, so that the client resumes it after `retry`.
    pub(super) async fn disconnect(&self, retry: Duration) -> Result<Disconnection, ToolError> {
        if self.context.extensions.get::<ClientSender>().is_some() {
            self.context.disconnect(Some(retry))?;
            return Ok(Disconnection::Done);
        }
        // On stdio. Other clients than rejoin ignore the unknown notification.
        let params = json!({ "requestId": self.context.id, "retryMs": retry.as_millis() });
        let request = CustomNotification::new("notifications/rejoin/close_stream", Some(params));
        let request = ServerNotification::CustomNotification(request);
        self.unless_cancelled(self.context.peer.send_notification(request)).await?;
        Ok(Disconnection::Requested)
    }

    /// Returns the result of `work`, unless the call is cancelled first.
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

/// Returns a future that is ready with `result`.
pub(super) fn ready(result: ToolResult) -> ToolFuture {
    Box::pin(std::future::ready(result))
}

/// Returns content with a single text block.
pub(super) fn text(text: impl Into<String>) -> Vec<ContentBlock> {
    vec![ContentBlock::text(text)]
}

fn schema(arguments: &[&dyn Argument]) -> Value {
    let properties: JsonObject =
        arguments.iter().map(|argument| (argument.name().to_owned(), argument.schema())).collect();
    let required: Vec<_> = arguments.iter().map(|argument| argument.name()).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Returns the fields of a schema, or none if it is not an object.
fn object(value: Value) -> JsonObject {
    if let Value::Object(object) = value { object } else { JsonObject::new() }
}
