//! Sessions of the crate `rmcp`: its `LocalSessionManager`.

use std::{collections::VecDeque, hint::black_box, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use rmcp::{
    RoleServer, ServiceExt as _,
    model::{
        ClientJsonRpcMessage, ClientRequest, InitializeResult, JsonRpcMessage, JsonRpcRequest,
        RequestId, ServerCapabilities, ServerJsonRpcMessage, ServerResult,
    },
    transport::{
        Transport,
        streamable_http_server::session::{
            ServerSseMessage, SessionId, SessionManager as _,
            local::{LocalSessionHandle, LocalSessionManager},
        },
    },
};
use tokio::sync::mpsc::Receiver;

use super::SessionLayer;
use crate::{
    message::{self, Tool},
    service::{self, Service},
};

/// A session manager of the crate `rmcp`.
#[derive(Clone)]
pub(crate) struct Rmcp {
    sessions: Arc<LocalSessionManager>,
    has_service: bool,
    /// Called when a session has ended.
    ended: fn(),
}

impl Rmcp {
    /// Creates a manager with a handler in a task.
    pub(crate) fn with_handler() -> Self {
        Self { sessions: Arc::default(), has_service: false, ended: || () }
    }

    /// Creates a manager with a service.
    pub(crate) fn with_service() -> Self {
        Self { has_service: true, ..Self::with_handler() }
    }

    /// Creates a manager whose channels have this capacity, which is also the number of events that
    /// they keep.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.channel_capacity = capacity;
        Self { sessions: Arc::new(sessions), ..Self::with_handler() }
    }

    /// Creates a manager with an idle timeout, which calls `ended` whenever a session ends.
    pub(crate) fn with_timeout(timeout: Duration, ended: fn()) -> Self {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(timeout);
        Self { sessions: Arc::new(sessions), ended, ..Self::with_handler() }
    }
}

impl Rmcp {
    /// Looks a session up as the manager does: the streams of its own interface have no type name.
    async fn handle(&self, id: &SessionId) -> Result<LocalSessionHandle> {
        let sessions = self.sessions.sessions.read().await;
        sessions.get(id).cloned().context("session not found")
    }
}

impl SessionLayer for Rmcp {
    type Session = SessionId;
    type Stream = Receiver<ServerSseMessage>;
    type Message = ClientJsonRpcMessage;

    fn parse(&self, json: String) -> Result<ClientJsonRpcMessage> {
        Ok(serde_json::from_str(&json)?)
    }

    async fn open(&self) -> Result<SessionId> {
        let (id, transport) = self.sessions.create_session().await?;
        if self.has_service {
            tokio::spawn(async move {
                let running = Service::default().serve(transport).await?;
                running.waiting().await?;
                anyhow::Ok(())
            });
        } else {
            tokio::spawn(serve(transport, self.ended));
        }
        let initialize = serde_json::from_str(&message::initialize())?;
        self.sessions.initialize_session(&id, initialize).await?;
        let initialized = serde_json::from_str(message::initialized())?;
        self.sessions.accept_message(&id, initialized).await?;
        Ok(id)
    }

    async fn send(
        &self,
        session: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<Self::Stream> {
        let session = self.handle(session).await?;
        let receiver = session.establish_request_wise_channel().await?;
        session.push_message(message, receiver.http_request_id).await?;
        Ok(receiver.inner)
    }

    async fn next_events(&self, stream: &mut Self::Stream) -> Result<usize> {
        Ok(stream.recv().await.is_some().into())
    }

    async fn next_events_as_json(&self, stream: &mut Self::Stream) -> Result<usize> {
        let Some(event) = stream.recv().await else { return Ok(0) };
        if let Some(message) = event.message {
            black_box(serde_json::to_string(&message)?);
        }
        Ok(1)
    }

    async fn first_id(&self, stream: &mut Self::Stream) -> Result<String> {
        let first = stream.recv().await.context("the stream has ended")?;
        first.event_id.context("the first event has no id")
    }

    async fn resume(&self, session: &SessionId, last_event_id: &str) -> Result<Self::Stream> {
        let session = self.handle(session).await?;
        Ok(session.resume(last_event_id.parse()?).await?.inner)
    }
}

/// Handles the calls of the benchmark, without the service layer.
async fn serve(mut transport: impl Transport<RoleServer>, ended: fn()) -> Result<()> {
    let mut lagging = VecDeque::new();
    while let Some(message) = transport.receive().await {
        let JsonRpcMessage::Request(JsonRpcRequest { id, request, .. }) = message else { continue };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the benchmark sends nothing else")]
        let result = match request {
            ClientRequest::InitializeRequest(_) => initialize_result(),
            ClientRequest::CallToolRequest(call) => {
                let tool = service::tool(&call.params).context("no such tool")?;
                for step in 1..=tool.events() {
                    let progress = service::progress(&id, step);
                    transport.send(ServerJsonRpcMessage::notification(progress)).await?;
                }
                let result = ServerResult::CallToolResult(service::result(&call.params));
                match tool {
                    Tool::Echo | Tool::Events(_) => result,
                    Tool::Hang(_) => continue,
                    Tool::Lag(count) => {
                        let Some(turn) = lag(&mut lagging, count, (result, id)) else { continue };
                        transport.send(turn).await?;
                        continue;
                    }
                    Tool::Announce => bail!("not supported here: `announce`"),
                }
            }
            _ => bail!("unexpected request"),
        };
        transport.send(ServerJsonRpcMessage::response(result, id)).await?;
    }
    ended();
    Ok(())
}

fn initialize_result() -> ServerResult {
    ServerResult::InitializeResult(InitializeResult::new(ServerCapabilities::default()))
}

fn lag(
    lagging: &mut VecDeque<(ServerResult, RequestId)>,
    count: usize,
    response: (ServerResult, RequestId),
) -> Option<ServerJsonRpcMessage> {
    lagging.push_back(response);
    let (result, id) = (lagging.len() > count).then(|| lagging.pop_front())??;
    Some(ServerJsonRpcMessage::response(result, id))
}
