//! HTTP/1.1 on a connection: one request after the other.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1::Builder, service::Service};
use hyper_util::rt::TokioIo;

use super::{
    activity::{Activity, Timeouts},
    bodies::{TrackedRequestBody, TrackedResponseBody},
    socket::Socket,
    transport::Transport,
};

/// Maximum size of a request head, and of a part of a body that is read at once, in bytes.
const BUFFER_BYTES_MAX: usize = 64 << 10;

pub(crate) fn builder() -> Builder {
    let mut http = Builder::new();
    // `Socket` enforces the timeouts: hyper's own does not distinguish an idle connection from one
    // in the middle of a request.
    http.header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
    http
}

/// Serves a connection until it ends. Ends it after its current response when `end` resolves.
pub(crate) async fn serve<R, F, B>(
    builder: &Builder,
    transport: Transport,
    respond: R,
    timeouts: Timeouts,
    end: impl Future<Output = ()>,
) -> hyper::Result<()>
where
    R: Fn(Request<TrackedRequestBody>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let activity = Arc::new(Activity::new(timeouts));
    let socket = Socket::new(transport, Arc::clone(&activity));
    let service = RequestService { respond, activity: Arc::clone(&activity) };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    tokio::select! {
        served = &mut connection => return served,
        () = end => {}
    }
    let may_be_flushing = activity.drain();
    if !may_be_flushing {
        // Adds `Connection: close` to a response that has not started. While flushing, hyper
        // would see no request in progress and close the connection with unsent bytes.
        connection.as_mut().graceful_shutdown();
    }
    connection.await
}

/// The service of one connection.
struct RequestService<R> {
    respond: R,
    activity: Arc<Activity>,
}

impl<R, F, B> Service<Request<Incoming>> for RequestService<R>
where
    R: Fn(Request<TrackedRequestBody>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin,
{
    type Response = Response<TrackedResponseBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let activity = Arc::clone(&self.activity);
        let request = request.map(|body| TrackedRequestBody::new(body, Arc::clone(&activity)));
        let response = (self.respond)(request);
        Box::pin(async {
            let response = response.await;
            let content_type = response.headers().get(header::CONTENT_TYPE);
            let is_stream = content_type.is_some_and(|value| value == "text/event-stream");
            Ok(response.map(|body| TrackedResponseBody::new(body, is_stream, activity)))
        })
    }
}
