//! The HTTP request that a message came with, as handlers see it.

use axum::{Router, http::StatusCode};
use rejoin::{HttpConfig, ManagerConfig, RmcpBackend, SessionManager, StreamableHttp};
use serde_json::{Value, json};

use crate::{
    client::Client,
    server::{Server, serve},
    service::{Report, Tools},
};

fn expected(user: &str) -> Value {
    json!({ "user": user, "tenant": "layered", "path": "/mcp" })
}

/// Sends requests and notifications with different headers.
async fn check(client: &Client, reports: &mut tokio::sync::mpsc::UnboundedReceiver<Report>) {
    for (id, user) in [(1, "one"), (2, "two")] {
        let mut events = client.call_with(id, "parts", json!({}), &[("x-user", user)]).await;
        let seen: Value = serde_json::from_str(&events.text(id).await).unwrap();
        assert_eq!(seen, expected(user));
        let status = client.notify("notifications/custom", json!({}), &[("x-user", user)]).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let notified = loop {
            if let Report::Notified(seen) = reports.recv().await.unwrap() {
                break seen;
            }
        };
        assert_eq!(notified, expected(user));
    }
}

#[tokio::test]
async fn handlers_see_requests_through_the_service_of_rmcp() {
    let mut server = Server::start().await;
    let client = server.connect().await;
    check(&client, &mut server.reports).await;
}

#[tokio::test]
async fn handlers_see_requests_through_our_own_service() {
    let (tools, mut reports) = Tools::new();
    let backend = RmcpBackend::new(move || Ok(tools.clone()));
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let service = StreamableHttp::new(sessions, HttpConfig::default()).unwrap();
    let (address, listener) = serve(Router::new().route_service("/mcp", service)).await;
    let client = Client::initialize(&address).await;
    check(&client, &mut reports).await;
    listener.abort();
}
