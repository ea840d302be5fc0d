//! An rmcp service with resumable sessions: a client calls a tool, loses its connection, resumes,
//! and gets the events that it has missed.

use std::{error::Error, future::poll_fn, time::Duration};

use rejoin::{Connection, ManagerConfig, RequestContextExt, RmcpBackend, SessionManager, SseEvent};
use rejoin_core::AnswerFormat;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomNotification,
        ServerNotification,
    },
    service::RequestContext,
};
use serde_json::json;

/// A service with one slow tool, which notifies the client when it starts.
struct Kettle;

impl ServerHandler for Kettle {
    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let started = CustomNotification::new("notifications/started", Some(json!({})));
        // An error means that the session has ended.
        let _ = context.notify_related(ServerNotification::CustomNotification(started)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(CallToolResult::success(vec![ContentBlock::text("tea")]).into())
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = SessionManager::new(RmcpBackend::new(|| Ok(Kettle)), ManagerConfig::default())?;

    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{
        "protocolVersion":"2025-11-25","capabilities":{},
        "clientInfo":{"name":"example","version":"0"}}}"#;
    let post = rejoin::parse_message(initialize.into(), 0)?;
    let (session, mut connection) = sessions.initialize_session(post, AnswerFormat::Sse).await?;
    println!("initialized: {:?}", rest(&mut connection).await);

    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tea"}}"#;
    let post = rejoin::parse_message(call.into(), 0)?;
    let mut connection = session.request(post, AnswerFormat::Sse).await?;
    let mut seen = Vec::new();
    while !seen.iter().any(|event| matches!(event, SseEvent::Message { .. })) {
        poll_fn(|cx| connection.poll_events(cx, &mut seen)).await;
    }
    println!("before the connection is lost: {seen:?}");
    drop(connection);

    let last_event_id = seen.iter().rev().find_map(event_id).ok_or("no event has an id")?;
    let mut connection = session.resume(last_event_id)?;
    println!("after it is resumed: {:?}", rest(&mut connection).await);
    Ok(())
}

/// Collects events until the connection ends.
async fn rest(connection: &mut Connection) -> Vec<SseEvent> {
    let mut events = Vec::new();
    while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
    events
}

fn event_id(event: &SseEvent) -> Option<rejoin_core::EventId> {
    match event {
        SseEvent::Message { id, .. } => *id,
        SseEvent::Priming { id, .. } | SseEvent::Gap { id, .. } => Some(*id),
    }
}
