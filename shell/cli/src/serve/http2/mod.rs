//! HTTP/2 on a connection: many requests at once.

mod body;
mod responses;

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use anyhow::bail;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2::Builder, service::Service};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use self::{body::TrackedBody, responses::Responses};
use super::{
    access_log::LoggedBody,
    router::{ConnectedClient, RoutedBody, Router},
    transport::Transport,
};

/// Maximum number of concurrent requests on a connection.
const STREAMS_MAX: u32 = 128;

/// Maximum size of the headers of a request, in bytes. The same as for HTTP/1.1.
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// How much of a request body, and of all bodies of a connection, a client may send before it is
/// read, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// Maximum number of bytes that wait in a response to be sent. Low, since an event counts as
/// acknowledged when it is there. The body may exceed it by one part.
const SEND_BUFFER_BYTES_MAX: usize = 16 << 10;

/// Interval between pings, and how long a client may take to answer one.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client without requests may take to close the connection when it is told to.
const GO_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper limits resets by the client (CVE-2023-44487) and its own.
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// When a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// Maximum time without a request.
    pub(super) idle: Duration,
    /// Maximum time in which nothing of a response can be written.
    pub(super) stall: Option<Duration>,
}

/// Serves a connection until it ends. Ends it after its current requests when `end` resolves, when
/// it has been idle for too long, and, once the program is not ready, when it has had a request.
///
/// # Errors
///
/// The client violates the protocol, or has stopped to read a response.
pub(super) async fn serve(
    builder: &Builder<TokioExecutor>,
    transport: Transport,
    (router, client): (Router, ConnectedClient),
    timeouts: Timeouts,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let responses = Responses::new();
    let unready = router.unready();
    let service = RequestService { router, client, responses: responses.clone() };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(transport), service));
    let mut stalled = pin!(responses.stalled_for(timeouts.stall));
    tokio::select! {
        served = &mut connection => return Ok(served?),
        () = &mut stalled => bail!("the client does not read a response"),
        () = end => {}
        () = responses.idle_for(timeouts.idle) => {}
        // A new connection may lead to another program. This one serves at least one request, in
        // case that it does not.
        () = async { unready.await; responses.begun().await } => {}
    }
    // Sends GOAWAY: requests that arrive after it were not served, and the client knows it.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = &mut connection => Ok(served?),
        () = &mut stalled => bail!("the client does not read a response"),
        () = responses.idle_for(GO_AWAY_TIMEOUT) => Ok(()),
    }
}

/// The service of one connection.
struct RequestService {
    router: Router,
    client: ConnectedClient,
    responses: Responses,
}

impl Service<Request<Incoming>> for RequestService {
    type Response = Response<TrackedBody<LoggedBody<RoutedBody>>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let pending = self.responses.add();
        let response = self.router.respond(request, &self.client);
        Box::pin(async { Ok(response.await.map(|body| TrackedBody::new(body, pending))) })
    }
}
