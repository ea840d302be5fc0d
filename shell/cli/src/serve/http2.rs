//! HTTP/2 on a connection: many requests at once.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http2::Builder, service::Service};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{sync::watch, time::timeout};

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

/// Serves a connection until it ends. Ends it when it has been idle for too long, and, once
/// connections drain, after its current requests.
pub(super) async fn serve(
    builder: &Builder<TokioExecutor>,
    transport: Transport,
    (router, client): (Router, ConnectedClient),
    idle_timeout: Duration,
    mut draining: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let requests = Requests::default();
    let service = RequestService { router, client, requests: requests.clone() };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(transport), service));
    tokio::select! {
        served = &mut connection => return served,
        // An error means that the listener was dropped.
        _ = draining.wait_for(|is_draining| *is_draining) => {}
        () = requests.idle_for(idle_timeout) => {}
    }
    // Sends GOAWAY: requests that arrive after it were not served, and the client knows it.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = &mut connection => served,
        () = requests.idle_for(GO_AWAY_TIMEOUT) => Ok(()),
    }
}

/// Counts the requests of a connection whose responses are not complete. A clone has the same
/// counter.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<watch::Sender<usize>>);

/// A request that is counted until it is dropped.
#[derive(Debug)]
struct CountedRequest(Requests);

impl Requests {
    fn add(&self) -> CountedRequest {
        self.0.send_modify(|requests| *requests += 1);
        CountedRequest(self.clone())
    }

    /// Waits until there was no request for some time.
    async fn idle_for(&self, time: Duration) {
        let mut requests = self.0.subscribe();
        loop {
            let is_idle = *requests.borrow_and_update() == 0;
            // It cannot fail: the sender is in `self`.
            let changed = requests.changed();
            if !is_idle {
                let _ = changed.await;
            } else if timeout(time, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        self.0.0.send_modify(|requests| *requests -= 1);
    }
}

/// The service of one connection.
struct RequestService {
    router: Router,
    client: ConnectedClient,
    requests: Requests,
}

impl Service<Request<Incoming>> for RequestService {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let counted = self.requests.add();
        let response = self.router.respond(request, &self.client);
        Box::pin(async { Ok(response.await.map(|body| CountedBody { body, _counted: counted })) })
    }
}

/// A response body whose request is counted until it is dropped.
struct CountedBody {
    body: LoggedBody<RoutedBody>,
    _counted: CountedRequest,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = <RoutedBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_its_last_request_has_ended() {
        let requests = Requests::default();
        let started = Instant::now();
        let (first, second) = (requests.add(), requests.add());
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            drop(first);
            sleep(Duration::from_secs(5)).await;
            drop(second);
        });
        requests.idle_for(Duration::from_secs(60)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(70));
    }

    #[tokio::test(start_paused = true)]
    async fn a_brief_request_restarts_the_idle_time() {
        let requests = Requests::default();
        let started = Instant::now();
        let brief = requests.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            drop(brief.add());
        });
        requests.idle_for(Duration::from_secs(60)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(110));
    }
}
