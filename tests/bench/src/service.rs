//! Service of the crate `rmcp` with the tools of the benchmark.

use std::{collections::VecDeque, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceError,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomNotification,
        ProgressNotificationParam, ProgressToken, RequestId, ServerCapabilities, ServerConfig,
        ServerNotification,
    },
    service::RequestContext,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, oneshot};

use crate::message::Tool;

/// Handles the calls of the benchmark.
#[derive(Clone, Default)]
pub(crate) struct Service {
    lagging: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
}

impl ServerHandler for Service {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = tool(&request).ok_or_else(|| ErrorData::invalid_params("no such tool", None))?;
        let to_error_data =
            |error: ServiceError| ErrorData::internal_error(error.to_string(), None);
        for step in 1..=tool.events() {
            context
                .peer
                .send_notification(progress(&context.id, step))
                .await
                .map_err(to_error_data)?;
        }
        match tool {
            Tool::Echo | Tool::Events(_) => {}
            Tool::Hang(_) => std::future::pending().await,
            Tool::Lag(count) => self.lag(count).await,
            Tool::Announce => {
                context.peer.send_notification(unrelated()).await.map_err(to_error_data)?;
            }
        }
        Ok(result(&request).into())
    }
}

impl Service {
    async fn lag(&self, count: usize) {
        let (sender, turn) = oneshot::channel();
        let mut lagging = self.lagging.lock().await;
        lagging.push_back(sender);
        if lagging.len() > count {
            // The receiver may have been dropped with its session.
            let _ = lagging.pop_front().map(|sender| sender.send(()));
        }
        drop(lagging);
        let _ = turn.await;
    }
}

/// Returns the called tool.
pub(crate) fn tool(request: &CallToolRequestParams) -> Option<Tool> {
    let count = request.arguments.as_ref()?.get("count")?.as_u64()?;
    Tool::from_name(&request.name, usize::try_from(count).ok()?)
}

/// Returns the result of a call.
pub(crate) fn result(request: &CallToolRequestParams) -> CallToolResult {
    let arguments = request.arguments.as_ref();
    let text = arguments.and_then(|arguments| arguments.get("message")).and_then(Value::as_str);
    CallToolResult::success(vec![ContentBlock::text(text.unwrap_or_default())])
}

/// Returns a progress notification of a call.
pub(crate) fn progress(id: &RequestId, step: usize) -> ServerNotification {
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    let param = ProgressNotificationParam::new(ProgressToken(id.clone()), step.into());
    rmcp::model::ProgressNotification::new(param).into()
}

/// Returns a notification that is related to no request.
pub(crate) fn unrelated() -> ServerNotification {
    let notification = CustomNotification::new("notifications/news", Some(json!({})));
    ServerNotification::CustomNotification(notification)
}
