//! The HTTP service of rmcp with the session manager of rejoin:
//! `cargo run -p rejoin --example rmcp_drop_in`.
//!
//! Only the `use` of `LocalSessionManager` differs from a server without rejoin. What it has beyond
//! the manager of rmcp is used in `sessions`.

use std::{error::Error, io, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use rejoin::rmcp::LocalSessionManager;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ServerCapabilities,
        ServerConfig,
    },
    service::RequestContext,
    transport::streamable_http_server::StreamableHttpService,
};
use tokio::net::TcpListener;

/// A service with one slow tool.
#[derive(Clone)]
struct Kettle;

impl ServerHandler for Kettle {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(CallToolResult::success(vec![ContentBlock::text("tea")]).into())
    }
}

#[expect(clippy::print_stdout, reason = "the example shows the hook")]
fn sessions() -> LocalSessionManager {
    let mut sessions = LocalSessionManager::default()
        .on_close(|_, reason| println!("a session has ended: {reason}"));
    sessions.session_config.keep_alive = Some(Duration::from_secs(3_600));
    sessions
}

fn app() -> Router {
    let sessions = Arc::new(sessions());
    let service = StreamableHttpService::new(
        || io::Result::Ok(Kettle),
        sessions,
        rmcp::transport::StreamableHttpServerConfig::default(),
    );
    Router::new().route_service("/mcp", service)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:8848").await?;
    let listener = listener.tap_io(|stream| {
        // Otherwise a response in several parts can be delayed by 40 ms.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, Response, header, request::Builder},
    };
    use http_body_util::BodyExt as _;
    use tower_service::Service as _;

    use super::*;

    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#;
    const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"boil"}}"#;

    async fn send(app: &mut Router, request: Builder, body: &'static str) -> Response<Body> {
        let request = request
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json");
        let response = app.call(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        response
    }

    #[tokio::test]
    async fn a_response_that_the_client_did_not_receive_is_sent_after_a_resume() {
        let mut app = app();
        let response = send(&mut app, Request::post("/mcp"), INITIALIZE).await;
        let session = response.headers()["mcp-session-id"].clone();
        let with_session = |request: Builder| request.header("mcp-session-id", &session);
        send(&mut app, with_session(Request::post("/mcp")), INITIALIZED).await;

        let mut call = send(&mut app, with_session(Request::post("/mcp")), CALL).await.into_body();
        let priming = call.frame().await.unwrap().unwrap().into_data().unwrap();
        let priming = String::from_utf8(priming.to_vec()).unwrap();
        assert!(priming.contains("0/0") && !priming.contains("tea"), "{priming}");
        drop(call);

        let resume = with_session(Request::get("/mcp")).header("last-event-id", "0/0");
        let resumed = send(&mut app, resume, "").await.into_body().collect().await.unwrap();
        let text = String::from_utf8(resumed.to_bytes().to_vec()).unwrap();
        assert!(text.contains("tea") && text.contains("1/0"), "{text}");
    }
}
