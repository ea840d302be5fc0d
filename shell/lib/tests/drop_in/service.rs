//! The rmcp service of the tests. Its tools wait for the test, and report what happens.

use std::{sync::Arc, time::Duration};

use axum::http::request::Parts;
use rejoin::RequestContextExt as _;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomNotification,
        InitializeRequestParams, InitializeResult, ServerCapabilities, ServerConfig,
        ServerNotification,
    },
    service::{NotificationContext, RequestContext},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

/// What a handler reports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    /// A call of this tool has begun.
    Called(String),
    /// A call of this tool has sent this message.
    Sent(u64),
    /// A call of this tool is about to return.
    Returns(String),
    /// A call was cancelled.
    Cancelled,
    /// A notification came with this request.
    Notified(Value),
    /// A session is being initialized.
    Initializing,
}

/// An extension of the HTTP request, which a layer adds.
#[derive(Clone, Debug)]
pub(crate) struct Tenant(pub(crate) &'static str);

/// The tools. A clone is another service with the same test.
#[derive(Clone)]
pub(crate) struct Tools {
    reports: mpsc::UnboundedSender<Report>,
    /// One permit for each tool call that waits for the test.
    pub(crate) gate: Arc<Semaphore>,
    /// One permit for each `initialize`.
    pub(crate) initialize_gate: Arc<Semaphore>,
}

impl Tools {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        let tools = Self {
            reports,
            gate: Arc::new(Semaphore::new(0)),
            initialize_gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        (tools, receiver)
    }

    fn report(&self, report: Report) {
        // An error means that the test does not look at reports.
        let _ = self.reports.send(report);
    }

    async fn pass(&self, gate: &Semaphore) {
        gate.acquire().await.unwrap().forget();
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        #[expect(deprecated, reason = "revisions with sessions have log messages")]
        let capabilities = ServerCapabilities::builder().enable_tools().enable_logging().build();
        ServerConfig::new(capabilities)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        self.report(Report::Initializing);
        self.pass(&self.initialize_gate).await;
        context.peer.set_peer_info(request);
        Ok(self.get_info())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.report(Report::Called(request.name.to_string()));
        let arguments = request.arguments.clone().unwrap_or_default();
        let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or_default();
        let text = match &*request.name {
            "echo" => arguments["text"].as_str().unwrap().to_owned(),
            "wait" => {
                self.pass(&self.gate).await;
                "waited".to_owned()
            }
            "hang" => {
                context.ct.cancelled().await;
                self.report(Report::Cancelled);
                String::new()
            }
            "count" => {
                for n in 1..=number("count") {
                    context.notify_related(numbered(n, number("bytes"))).await.unwrap();
                    self.report(Report::Sent(n));
                }
                if arguments.contains_key("then_wait") {
                    self.pass(&self.gate).await;
                }
                "counted".to_owned()
            }
            "announce" => {
                let message = numbered(number("n"), number("bytes"));
                context.peer.send_notification(message).await.unwrap();
                "announced".to_owned()
            }
            "poll" => {
                context.disconnect(Some(Duration::from_millis(number("retry")))).unwrap();
                self.pass(&self.gate).await;
                "polled".to_owned()
            }
            "parts" => parts(context.extensions.get()).to_string(),
            name => panic!("{name}"),
        };
        self.report(Report::Returns(request.name.to_string()));
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }

    async fn on_custom_notification(
        &self,
        _: CustomNotification,
        context: NotificationContext<RoleServer>,
    ) {
        self.report(Report::Notified(parts(context.extensions.get())));
    }
}

/// Describes an HTTP request: a header, and the extension of a layer.
fn parts(parts: Option<&Parts>) -> Value {
    let Some(parts) = parts else { return Value::Null };
    let header = parts.headers.get("x-user").map(|user| user.to_str().unwrap());
    let tenant = parts.extensions.get::<Tenant>().map(|Tenant(name)| name);
    json!({ "user": header, "tenant": tenant, "path": parts.uri.path() })
}

fn numbered(n: u64, bytes: u64) -> ServerNotification {
    let padding = "x".repeat(usize::try_from(bytes).unwrap());
    let params = json!({ "n": n, "padding": padding });
    let notification = CustomNotification::new("notifications/number", Some(params));
    ServerNotification::CustomNotification(notification)
}
