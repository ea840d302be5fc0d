//! The client of rmcp, through links that break.

use std::{sync::Arc, time::Duration};

use rejoin::rmcp::LocalSessionManager;
use rejoin_core::SessionCloseReason;
use rmcp::{
    ClientHandler, ClientLifecycleMode, RoleClient,
    model::{CallToolRequestParams, CustomNotification, JsonObject},
    service::{NotificationContext, RunningService, serve_client_with_lifecycle},
    transport::StreamableHttpClientTransport,
};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::timeout,
};

use crate::{client::PATIENCE, server::Server};

/// Forwards connections to a server until they are cut.
struct Link {
    address: String,
    cut: broadcast::Sender<()>,
    listener: JoinHandle<()>,
}

impl Link {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, _) = broadcast::channel(1);
        let cuts = cut.clone();
        let listener = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, mut cut) = (server.clone(), cuts.subscribe());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { address, cut, listener }
    }

    /// Cuts all connections. Later ones are forwarded again.
    fn cut(&self) {
        self.cut.send(()).unwrap();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn manager() -> LocalSessionManager {
    let mut manager = LocalSessionManager::default();
    manager.session_config.sse_retry = Some(Duration::from_millis(20));
    manager
}

/// Reports the numbers that the client receives.
struct Numbers(mpsc::UnboundedSender<u64>);

impl ClientHandler for Numbers {
    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        _: NotificationContext<RoleClient>,
    ) {
        let number = notification.params.unwrap()["n"].as_u64().unwrap();
        self.0.send(number).unwrap();
    }
}

type RmcpClient = RunningService<RoleClient, Numbers>;

/// Connects by `initialize`: by default, the client would ask for a revision without sessions.
async fn connect(address: &str) -> (RmcpClient, mpsc::UnboundedReceiver<u64>) {
    let (sender, numbers) = mpsc::unbounded_channel();
    let url: Arc<str> = format!("http://{address}/mcp").into();
    let transport = StreamableHttpClientTransport::from_uri(url);
    let lifecycle = ClientLifecycleMode::Initialize;
    let client = serve_client_with_lifecycle(Numbers(sender), transport, lifecycle).await;
    (client.unwrap(), numbers)
}

async fn call(client: &RmcpClient, tool: &'static str, arguments: Value) -> String {
    let arguments: JsonObject = serde_json::from_value(arguments).unwrap();
    let call = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
    let result = timeout(PATIENCE, call).await.unwrap().unwrap();
    result.content[0].as_text().unwrap().text.clone()
}

#[tokio::test]
async fn client_has_a_session_and_deletes_it() {
    let (sender, mut closed) = mpsc::unbounded_channel();
    let manager = manager().on_close(move |_, reason| sender.send(reason).unwrap());
    let server = Server::start_with(manager).await;
    let (client, _numbers) = connect(&server.address).await;
    assert_eq!(call(&client, "echo", json!({ "text": "hello" })).await, "hello");
    assert_eq!(server.manager.session_count(), 1);
    client.cancel().await.unwrap();
    assert_eq!(closed.recv().await, Some(SessionCloseReason::Deleted));
    assert_eq!(server.manager.session_count(), 0);
}

#[tokio::test]
async fn client_that_loses_its_connections_gets_the_response() {
    let server = Server::start_with(manager()).await;
    let link = Link::start(server.address.clone()).await;
    let (client, mut numbers) = connect(&link.address).await;
    for _ in 0..3 {
        let response = call(&client, "count", json!({ "count": 2, "then_wait": true }));
        let answer = async {
            for expected in 1..=2 {
                assert_eq!(numbers.recv().await, Some(expected));
            }
            link.cut();
            server.tools.gate.add_permits(1);
        };
        assert_eq!(tokio::join!(response, answer).0, "counted");
        assert!(numbers.is_empty(), "a number was received twice");
        assert_eq!(server.manager.session_count(), 1);
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn client_polls_when_its_handler_disconnects_it() {
    let mut server = Server::start_with(manager()).await;
    let (client, _numbers) = connect(&server.address).await;
    let response = call(&client, "poll", json!({ "retry": 20 }));
    let answer = async {
        server.wait_for_call("poll").await;
        server.tools.gate.add_permits(1);
    };
    assert_eq!(tokio::join!(response, answer).0, "polled");
    client.cancel().await.unwrap();
}
