//! A backend in a few lines, served over HTTP by axum: `cargo run --example backend`.

use axum::{Router, serve::ListenerExt as _};
use rejoin::{
    Backend, ClientMessages, ClientSender, HttpConfig, ManagerConfig, OpenError, SessionManager,
    StreamableHttp,
};
use serde_json::{Value, json};

/// Knows nothing but how to begin, and one tool.
struct Parrot;

impl Backend for Parrot {
    async fn open(&self, peer: ClientSender, mut inbox: ClientMessages) -> Result<(), OpenError> {
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                let message: Value = serde_json::from_slice(&message)?;
                if let (Some(id), Some(method)) = (message.get("id"), message.get("method")) {
                    let answer =
                        json!({ "jsonrpc": "2.0", "id": id, "result": result(method, &message) });
                    peer.send(answer.to_string(), None).await?;
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
            let said = message.pointer("/params/arguments").map(Value::to_string);
            json!({ "content": [{ "type": "text", "text": said.unwrap_or_default() }] })
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
        // Without it, an answer in several parts waits 40 ms.
        let _ = stream.set_nodelay(true);
        // Without it, the system takes up to 4 MiB in advance, which count as delivered.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&*stream).set_tcp_notsent_lowat(64 << 10);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
