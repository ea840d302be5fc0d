//! A server on a loopback port: a service of rmcp behind axum.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware};
use rejoin::rmcp::LocalSessionManager;
use rmcp::transport::streamable_http_server::{
    SessionManager, StreamableHttpServerConfig, StreamableHttpService,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    client::{Client, PATIENCE},
    service::{Report, Tenant, Tools},
};

pub(crate) struct Server<M = LocalSessionManager> {
    pub(crate) manager: Arc<M>,
    pub(crate) address: String,
    pub(crate) tools: Tools,
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
    listener: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(LocalSessionManager::default()).await
    }
}

impl<M: SessionManager> Server<M> {
    pub(crate) async fn start_with(manager: impl Into<Arc<M>>) -> Self {
        Self::start_with_config(manager, StreamableHttpServerConfig::default()).await
    }

    pub(crate) async fn start_with_config(
        manager: impl Into<Arc<M>>,
        config: StreamableHttpServerConfig,
    ) -> Self {
        let manager = manager.into();
        let (tools, reports) = Tools::new();
        let factory = {
            let tools = tools.clone();
            move || Ok(tools.clone())
        };
        let service = StreamableHttpService::new(factory, Arc::clone(&manager), config);
        let (address, listener) = serve(Router::new().route_service("/mcp", service)).await;
        Self { manager, address, tools, reports, listener }
    }

    /// Creates a session.
    pub(crate) async fn connect(&self) -> Client {
        Client::initialize(&self.address).await
    }

    /// Waits for a report, and drops those before it.
    pub(crate) async fn wait_for(&mut self, report: &Report) {
        let reported = async { while self.reports.recv().await.unwrap() != *report {} };
        timeout(PATIENCE, reported).await.unwrap();
    }

    /// Waits until a tool is called.
    pub(crate) async fn wait_for_call(&mut self, tool: &str) {
        self.wait_for(&Report::Called(tool.to_owned())).await;
    }
}

impl<M> Drop for Server<M> {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Serves routes, with a layer that adds an extension to each request. Returns the address.
pub(crate) async fn serve(routes: Router) -> (String, JoinHandle<()>) {
    let routes = routes.layer(middleware::map_request(add_tenant));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, serving)
}

async fn add_tenant(mut request: Request) -> Request {
    request.extensions_mut().insert(Tenant("layered"));
    request
}
