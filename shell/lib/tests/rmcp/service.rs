//! An rmcp service for the tests, which panics on an unknown tool.

use std::time::Duration;

use rejoin::{Backend, RequestContextExt, RmcpBackend};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomNotification,
        Extensions, PingRequestMethod, RequestNoParam, ServerCapabilities, ServerConfig,
        ServerNotification, ServerRequest,
    },
    service::RequestContext,
};
use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

pub(crate) struct Server(UnboundedSender<ServiceEvent>);

/// An event in the life of a service.
#[derive(Debug, PartialEq)]
pub(crate) enum ServiceEvent {
    Created,
    Called,
    Cancelled,
    Dropped,
}

pub(crate) fn backend() -> (impl Backend, UnboundedReceiver<ServiceEvent>) {
    let (sender, events) = mpsc::unbounded_channel();
    let backend = RmcpBackend::new(move || {
        let _ = sender.send(ServiceEvent::Created);
        Ok(Server(sender.clone()))
    });
    (backend, events)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        assert!(context.extensions.get::<rejoin::ClientSender>().is_some());
        let text = match &*request.name {
            "greet" => "hello".to_owned(),
            "ask" => ask(&context).await,
            "notify" => notify(&context).await,
            "poll" => {
                context.disconnect(Some(Duration::from_secs(7))).unwrap();
                tokio::time::sleep(Duration::from_secs(7)).await;
                "later".to_owned()
            }
            "hang" => {
                let _ = self.0.send(ServiceEvent::Called);
                context.ct.cancelled().await;
                let _ = self.0.send(ServiceEvent::Cancelled);
                String::new()
            }
            "flood" => flood(&context).await,
            "large" => "x".repeat(17 << 20),
            "deep" => {
                let mut result = CallToolResult::success(Vec::new());
                result.structured_content =
                    Some((0..200).fold(json!(1), |value, _| json!({ "a": value })));
                return Ok(result.into());
            }
            name => panic!("{name}"),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.send(ServiceEvent::Dropped);
    }
}

async fn ask(context: &RequestContext<RoleServer>) -> String {
    let ping = RequestNoParam { method: PingRequestMethod, extensions: Extensions::default() };
    match context.peer.send_request(ServerRequest::PingRequest(ping)).await {
        Ok(_) => "pong".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn notify(context: &RequestContext<RoleServer>) -> String {
    for n in 1..=3 {
        context.notify_related(news("notifications/related", n)).await.unwrap();
    }
    context.peer.send_notification(news("notifications/unrelated", 4)).await.unwrap();
    String::new()
}

async fn flood(context: &RequestContext<RoleServer>) -> String {
    for n in 0..5_000 {
        context.notify_related(news("notifications/related", n)).await.unwrap();
    }
    String::new()
}

fn news(method: &str, n: u64) -> ServerNotification {
    ServerNotification::CustomNotification(CustomNotification::new(method, Some(json!({ "n": n }))))
}

/// A service that never answers `initialize`, and reports when it is dropped.
pub(crate) struct NeverInitializes(pub(crate) UnboundedSender<ServiceEvent>);

impl ServerHandler for NeverInitializes {
    async fn initialize(
        &self,
        _: rmcp::model::InitializeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<rmcp::model::InitializeResult, ErrorData> {
        std::future::pending().await
    }
}

impl Drop for NeverInitializes {
    fn drop(&mut self) {
        let _ = self.0.send(ServiceEvent::Dropped);
    }
}
