//! An rmcp service behind axum, with a middleware that requires a bearer token:
//! `MCP_TOKEN=secret cargo run -p rejoin --example axum_auth`.
//!
//! A request without `Authorization: Bearer secret` gets 401 before rejoin sees it. The middleware
//! puts the principal of the token into the extensions of the request, so that its sessions belong
//! to that principal, and the handler finds it there.

use std::{env, error::Error};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::ListenerExt as _,
};
use rejoin::{HttpConfig, ManagerConfig, Principal, RmcpBackend, SessionManager, StreamableHttp};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ServerCapabilities,
        ServerConfig,
    },
    service::RequestContext,
};
use tokio::net::TcpListener;

/// A service that greets the user who calls a tool.
#[derive(Clone)]
struct Greeter;

impl ServerHandler for Greeter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<axum::http::request::Parts>();
        let user = parts.and_then(|parts| parts.extensions.get::<Principal>());
        let user = user.ok_or_else(|| ErrorData::internal_error("no user", None))?;
        let text = format!("hello, {}", user.subject());
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

#[derive(Clone)]
struct Token(String);

/// Who has issued the token.
const ISSUER: &str = "axum_auth";

/// Passes on requests that have the token, with the user that it belongs to.
async fn check(State(token): State<Token>, mut request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let expected = format!("Bearer {}", token.0);
    if authorization.is_some_and(|value| value.as_bytes() == expected.as_bytes()) {
        request.extensions_mut().insert(Principal::new(ISSUER, "Ada"));
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
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower_service::Service as _;

    use super::*;

    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#;
    const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    const CALL: &str =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet"}}"#;

    async fn post(
        app: &mut Router,
        authorization: &str,
        session: &str,
        message: &'static str,
    ) -> Response {
        let request = axum::http::Request::post("http://127.0.0.1/mcp")
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, authorization)
            .header("mcp-session-id", session);
        app.call(request.body(Body::from(message)).unwrap()).await.unwrap()
    }

    fn new_app() -> Router {
        app(Token("secret".into())).unwrap()
    }

    #[tokio::test]
    async fn requests_need_the_token() {
        let mut app = new_app();
        let response = post(&mut app, "Bearer secret", "", INITIALIZE).await;
        assert_eq!(response.status(), StatusCode::OK);
        let response = post(&mut app, "Bearer other", "", INITIALIZE).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn the_handler_knows_the_user() {
        let mut app = new_app();
        let response = post(&mut app, "Bearer secret", "", INITIALIZE).await;
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        post(&mut app, "Bearer secret", &session, INITIALIZED).await;
        let response = post(&mut app, "Bearer secret", &session, CALL).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("hello, Ada"), "{body:?}");
    }
}
