//! The HTTP service of the crate `rmcp`, in this process, with any session manager.

use std::{convert::Infallible, io, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::{self, SessionManager},
};

use super::{
    SessionLayer, drain,
    rejoin::{Limits, config},
};
use crate::{message, service::Service};

const SESSION_ID: &str = "mcp-session-id";

/// The service with a session manager.
pub(crate) struct RmcpHttp<M: SessionManager> {
    service: Arc<StreamableHttpService<Service, M>>,
}

impl RmcpHttp<rejoin::rmcp::LocalSessionManager> {
    /// Creates a service with the session manager of rejoin.
    pub(crate) fn with_rejoin(limits: Limits) -> Result<Self> {
        let config = config(limits, rejoin::rmcp::LocalSessionManager::default_config())?;
        Ok(Self::new(rejoin::rmcp::LocalSessionManager::with_config(config)?))
    }
}

impl RmcpHttp<session::local::LocalSessionManager> {
    /// Creates a service with the session manager of `rmcp`.
    pub(crate) fn with_rmcp() -> Self {
        Self::new(session::local::LocalSessionManager::default())
    }
}

impl<M: SessionManager> RmcpHttp<M> {
    fn new(sessions: M) -> Self {
        let make = || io::Result::Ok(Service::default());
        let config = StreamableHttpServerConfig::default();
        let service = StreamableHttpService::new(make, Arc::new(sessions), config);
        Self { service: Arc::new(service) }
    }

    async fn request(
        &self,
        method: Method,
        session: Option<&str>,
        last_event_id: Option<&str>,
        body: String,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>> {
        let mut request = Request::builder()
            .method(method)
            .uri("/mcp")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        if let Some(session) = session {
            request = request.header(SESSION_ID, session);
        }
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = self.service.handle(request.body(Full::<Bytes>::from(body))?).await;
        ensure!(response.status().is_success(), "status {}", response.status());
        Ok(response)
    }
}

impl<M: SessionManager> Clone for RmcpHttp<M> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service) }
    }
}

impl<M: SessionManager> SessionLayer for RmcpHttp<M> {
    type Session = String;
    type Stream = BoxBody<Bytes, Infallible>;
    type Message = String;

    fn parse(&self, json: String) -> Result<String> {
        Ok(json)
    }

    async fn open(&self) -> Result<String> {
        let response = self.request(Method::POST, None, None, message::initialize()).await?;
        let session = response.headers().get(SESSION_ID).context("no session id")?;
        let session = session.to_str()?.to_owned();
        drain(self, &mut response.into_body()).await?;
        let initialized = message::initialized().to_owned();
        let response = self.request(Method::POST, Some(&session), None, initialized).await?;
        ensure!(response.status() == StatusCode::ACCEPTED, "status {}", response.status());
        Ok(session)
    }

    async fn send(&self, session: &String, message: String) -> Result<Self::Stream> {
        Ok(self.request(Method::POST, Some(session), None, message).await?.into_body())
    }

    async fn next_events(&self, stream: &mut Self::Stream) -> Result<usize> {
        Ok(usize::from(stream.frame().await.transpose()?.is_some()))
    }

    /// The events are JSON already.
    async fn next_events_as_json(&self, stream: &mut Self::Stream) -> Result<usize> {
        self.next_events(stream).await
    }

    async fn first_id(&self, stream: &mut Self::Stream) -> Result<String> {
        let frame = stream.frame().await.transpose()?.context("the stream has ended")?;
        let event = frame.into_data().ok().context("no event")?;
        let event = String::from_utf8(event.to_vec())?;
        let id = event.lines().find_map(|line| line.strip_prefix("id:")).context("no id")?;
        Ok(id.trim().to_owned())
    }

    async fn resume(&self, session: &String, last_event_id: &str) -> Result<Self::Stream> {
        let body = String::new();
        let response = self.request(Method::GET, Some(session), Some(last_event_id), body).await?;
        Ok(response.into_body())
    }
}
