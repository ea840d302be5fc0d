//! An rmcp service behind axum, with a middleware that requires a bearer token:
//! `MCP_TOKEN=secret cargo run -p rejoin --example axum_auth`.
//!
//! A request without `Authorization: Bearer secret` gets 401 before rejoin sees it.

use std::{env, error::Error};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::ListenerExt as _,
};
use rejoin::{HttpConfig, ManagerConfig, RmcpBackend, SessionManager, StreamableHttp};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ServerCapabilities,
        ServerConfig,
    },
    service::RequestContext,
};
use tokio::net::TcpListener;

/// A service that answers every tool call with a greeting.
#[derive(Clone)]
struct Greeter;

impl ServerHandler for Greeter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text("hello")]).into())
    }
}

#[derive(Clone)]
struct Token(String);

/// Passes on requests that have the token.
async fn check(State(token): State<Token>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let expected = format!("Bearer {}", token.0);
    if authorization.is_some_and(|value| value.as_bytes() == expected.as_bytes()) {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
    }
}

fn app(token: Token) -> Result<Router, Box<dyn Error>> {
    let sessions = SessionManager::new(RmcpBackend::new(|| Ok(Greeter)), ManagerConfig::default())?;
    let mcp = StreamableHttp::new(sessions, HttpConfig::default())?;
    let app = Router::new().route_service("/mcp", mcp);
    Ok(app.layer(middleware::from_fn_with_state(token, check)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = env::var("MCP_TOKEN").map_err(|_| "set MCP_TOKEN to the token of your clients")?;
    let listener = TcpListener::bind("127.0.0.1:8848").await?;
    let listener = listener.tap_io(|stream| {
        // Otherwise a response in several parts can be delayed by 40 ms.
        let _ = stream.set_nodelay(true);
        // Otherwise the kernel buffers up to 4 MiB, which count as acknowledged.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&*stream).set_tcp_notsent_lowat(64 << 10);
    });
    axum::serve(listener, app(Token(token))?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tower_service::Service as _;

    use super::*;

    async fn status(authorization: &str) -> StatusCode {
        let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#;
        let request = axum::http::Request::post("http://127.0.0.1/mcp")
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, authorization)
            .body(axum::body::Body::from(initialize));
        let mut app = app(Token("secret".into())).expect("the config is valid");
        let response = app.call(request.expect("the request is valid")).await;
        response.expect("a service answers").status()
    }

    #[tokio::test]
    async fn requests_need_the_token() {
        assert_eq!(status("Bearer secret").await, StatusCode::OK);
        assert_eq!(status("Bearer other").await, StatusCode::UNAUTHORIZED);
    }
}
