//! Sessions of rejoin.

use std::{future::poll_fn, time::Duration};

use anyhow::{Context as _, Result};
use rejoin::{
    Backend, ClientMessage, Connection, ManagerConfig, RmcpBackend, SessionId, SessionManager,
    SseEvent,
    rejoin_core::{AnswerFormat, Post},
};

use super::{SessionLayer, drain};
use crate::{
    backend::{Handler, Inline, MessageForm},
    message,
    service::Service,
};

/// A session manager of rejoin.
#[derive(Clone)]
pub(crate) struct Rejoin {
    sessions: SessionManager,
}

/// Limits that differ from the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Maximum number of sessions.
    pub(crate) sessions: Option<usize>,
    /// Maximum number of streams per session.
    pub(crate) streams: Option<usize>,
    /// Maximum number of unacknowledged events per connection.
    pub(crate) window: Option<usize>,
    /// Idle timeout of a session.
    pub(crate) idle_timeout: Option<Duration>,
}

impl Rejoin {
    /// Creates a manager with a handler in a task.
    pub(crate) fn with_handler(form: MessageForm, limits: Limits) -> Result<Self> {
        Self::new(Handler(form), limits)
    }

    /// Creates a manager with an inline handler.
    pub(crate) fn with_inline_handler(form: MessageForm, limits: Limits) -> Result<Self> {
        Self::new(Inline(form), limits)
    }

    /// Creates a manager with a service of the crate `rmcp`.
    pub(crate) fn with_service(limits: Limits) -> Result<Self> {
        Self::new(RmcpBackend::new(|| Ok(Service::default())), limits)
    }

    /// Creates a manager with any backend.
    pub(crate) fn new(backend: impl Backend, limits: Limits) -> Result<Self> {
        Ok(Self {
            sessions: SessionManager::new(backend, config(limits, ManagerConfig::default())?)?,
        })
    }
}

/// Returns a configuration with these limits.
pub(super) fn config(limits: Limits, mut config: ManagerConfig) -> Result<ManagerConfig> {
    if let Some(streams) = limits.streams {
        config.session.streams_max = streams;
        config.session.pending_requests_max = streams;
        config.session.connections_max = 2 * streams;
    }
    if let Some(window) = limits.window {
        config.session.window_events_max = window.try_into()?;
    }
    if limits.idle_timeout.is_some() {
        config.session.idle_timeout = limits.idle_timeout;
    }
    if let Some(sessions) = limits.sessions {
        config.sessions_max = sessions;
    }
    Ok(config)
}

impl SessionLayer for Rejoin {
    type Session = SessionId;
    type Stream = (Connection, Vec<SseEvent>);
    type Message = Post<ClientMessage>;

    fn parse(&self, json: String) -> Result<Post<ClientMessage>> {
        Ok(rejoin::parse_message(json.into(), 1)?)
    }

    async fn open(&self) -> Result<SessionId> {
        let post = self.parse(message::initialize())?;
        let (session, connection) =
            self.sessions.initialize_session(post, AnswerFormat::Sse).await?;
        drain(self, &mut (connection, Vec::new())).await?;
        session.initialized().context("the session is not initialized")?;
        Ok(session.id())
    }

    async fn send(&self, session: &SessionId, post: Post<ClientMessage>) -> Result<Self::Stream> {
        let connection = self.sessions.session(*session)?.request(post, AnswerFormat::Sse).await?;
        Ok((connection, Vec::new()))
    }

    async fn next_events(&self, (connection, events): &mut Self::Stream) -> Result<usize> {
        loop {
            events.clear();
            let more = poll_fn(|cx| connection.poll_events(cx, events)).await;
            if !more || !events.is_empty() {
                return Ok(events.len());
            }
        }
    }

    /// The events are JSON already.
    async fn next_events_as_json(&self, stream: &mut Self::Stream) -> Result<usize> {
        self.next_events(stream).await
    }

    async fn first_id(&self, stream: &mut Self::Stream) -> Result<String> {
        self.next_events(stream).await?;
        match stream.1.first() {
            Some(SseEvent::Priming { id, .. }) => Ok(id.to_string()),
            other => anyhow::bail!("expected a priming event, got {other:?}"),
        }
    }

    async fn resume(&self, session: &SessionId, last_event_id: &str) -> Result<Self::Stream> {
        Ok((self.sessions.session(*session)?.resume(last_event_id.parse()?)?, Vec::new()))
    }
}
