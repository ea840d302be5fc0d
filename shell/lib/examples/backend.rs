//! A minimal backend, served over HTTP by axum: `cargo run --example backend`.

use axum::{Router, serve::ListenerExt as _};
use rejoin::{
    Backend, ClientMessages, ClientSender, HttpConfig, ManagerConfig, OpenError, SessionManager,
    StreamableHttp,
};
use serde_json::{Value, json};

/// A server with one tool, which returns its arguments.
struct Parrot;

impl Backend for Parrot {
    async fn open(
        &self,
        client: ClientSender,
        mut messages: ClientMessages,
    ) -> Result<(), OpenError> {
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let message: Value = serde_json::from_slice(&message)?;
                if let (Some(id), Some(method)) = (message.get("id"), message.get("method")) {
                    let response =
                        json!({ "jsonrpc": "2.0", "id": id, "result": result(method, &message) });
                    client.send(response.to_string(), None).await?;
                }
            }
            Ok::<(), OpenError>(())
        });
        Ok(())
    }
}

fn result(method: &Value, message: &Value) -> Value {
    match method.as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "parrot", "version": "1" },
        }),
        Some("tools/list") => json!({
            "tools": [{ "name": "repeat", "inputSchema": { "type": "object" } }],
        }),
        Some("tools/call") => {
            let arguments = message.pointer("/params/arguments").map(Value::to_string);
            json!({ "content": [{ "type": "text", "text": arguments.unwrap_or_default() }] })
        }
        _ => json!({}),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionManager::new(Parrot, ManagerConfig::default())?;
    let mcp = StreamableHttp::new(sessions, HttpConfig::default())?;
    let app = Router::new().route_service("/mcp", mcp);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8848").await?;
    let listener = listener.tap_io(|stream| {
        // Otherwise a response in several parts can be delayed by 40 ms.
        let _ = stream.set_nodelay(true);
        // Otherwise the kernel buffers up to 4 MiB, which count as acknowledged.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&*stream).set_tcp_notsent_lowat(64 << 10);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
