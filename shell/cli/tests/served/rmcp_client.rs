//! The client of rmcp against the program.
#![expect(deprecated, reason = "sampling and log messages are deprecated in later revisions")]

use std::{sync::Arc, time::Duration};

use rejoin_test_support::Program;
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt as _,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, CreateMessageRequestParams,
        CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation,
        JsonObject, LoggingMessageNotificationParam, ProgressNotificationParam, Role,
        SamplingMessage, SamplingMessageContentBlock,
    },
    service::{NotificationContext, RequestContext, RunningService},
    transport::StreamableHttpClientTransport,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::serve;

/// A notification that the client received.
#[derive(Debug)]
enum Received {
    Progress(f64),
    Log,
}

#[derive(Clone)]
struct Handler(mpsc::UnboundedSender<Received>);

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities =
            ClientCapabilities::builder().enable_elicitation().enable_sampling().build();
        ClientConfig::new(capabilities, Implementation::new("test", "0"))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let text = SamplingMessageContentBlock::text("sampled");
        Ok(CreateMessageResult::new(SamplingMessage::new(Role::Assistant, text), "m".into()))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept)
            .with_content(json!({ "answer": "elicited" })))
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.0.send(Received::Progress(progress.progress)).unwrap();
    }

    async fn on_logging_message(
        &self,
        _: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.0.send(Received::Log).unwrap();
    }
}

async fn connect(
    program: &Program,
) -> (RunningService<RoleClient, Handler>, mpsc::UnboundedReceiver<Received>) {
    let (sender, received) = mpsc::unbounded_channel();
    let url: Arc<str> = format!("http://{}/mcp", program.address).into();
    let transport = StreamableHttpClientTransport::from_uri(url);
    (Handler(sender).serve(transport).await.unwrap(), received)
}

fn call(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let arguments: JsonObject = serde_json::from_value(arguments).unwrap();
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

async fn text_of(
    client: &RunningService<RoleClient, Handler>,
    tool: &'static str,
    arguments: Value,
) -> String {
    let result = client.call_tool(call(tool, arguments)).await.unwrap();
    serde_json::to_string(&result).unwrap()
}

#[tokio::test]
async fn rmcp_client_lists_calls_and_answers_server_requests() {
    let program = serve(&[]);
    let (client, mut received) = connect(&program).await;
    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "echo"));
    assert!(text_of(&client, "echo", json!({ "message": "hello" })).await.contains("hello"));
    assert!(text_of(&client, "ask", json!({ "question": "?" })).await.contains("elicited"));
    assert!(text_of(&client, "complete", json!({ "prompt": "?" })).await.contains("sampled"));

    text_of(&client, "count", json!({ "total": 3, "interval_ms": 1 })).await;
    for number in [1.0, 2.0, 3.0] {
        let Some(Received::Progress(progress)) = received.recv().await else { panic!() };
        assert!((progress - number).abs() < 0.1);
    }
    text_of(&client, "announce", json!({ "count": 2, "interval_ms": 1 })).await;
    for _ in 0..2 {
        assert!(matches!(received.recv().await, Some(Received::Log)));
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn rmcp_client_reconnects_when_the_server_disconnects_it() {
    let program = serve(&[]);
    let (client, _received) = connect(&program).await;
    let call = text_of(&client, "poll", json!({ "ms": 200 }));
    let response = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap();
    assert!(!response.contains("\"isError\":true"), "{response}");
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn rmcp_client_deletes_its_session() {
    let program = serve(&["--max-sessions", "1"]);
    for _ in 0..3 {
        let (client, _received) = connect(&program).await;
        client.list_all_tools().await.unwrap();
        client.cancel().await.unwrap();
    }
}
