//! Minimal hyper service that sends the same bytes as the other servers, without sessions.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use memchr::memmem;
use tokio::sync::mpsc;
use tower_service::Service;

use crate::message;

/// How a response is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum ResponseParts {
    /// In one part, with its length.
    One,
    /// In two parts, both of which are ready when the body is first polled.
    Two,
    /// In two parts, the second of which comes from a task, so that there are two writes.
    TwoWrites,
}

/// Sends the same response to every call.
#[derive(Clone)]
pub(super) struct BareHyper {
    parts: ResponseParts,
    payloads: Arc<Payloads>,
}

/// The bodies that it sends.
struct Payloads {
    priming: Bytes,
    response: Bytes,
    whole: Bytes,
    progress: Bytes,
    initialize_response: Bytes,
    unrelated: Bytes,
}

impl BareHyper {
    /// Creates a service that echoes this text, always with the same id.
    pub(super) fn new(parts: ResponseParts, text: &str) -> Self {
        let event = |data: &str| format!("event: message\nid: 1/1000000\ndata: {data}\n\n");
        let priming = "id: 0/1000000\ndata:\n\n".to_owned();
        let response = event(&message::tool_response(1_000_000, text));
        let payloads = Payloads {
            whole: format!("{priming}{response}").into(),
            priming: priming.into(),
            response: response.into(),
            progress: event(&message::progress(1_000_000, 500)).into(),
            initialize_response: event(&message::initialize_response()).into(),
            unrelated: event(message::UNRELATED).into(),
        };
        Self { parts, payloads: Arc::new(payloads) }
    }

    async fn respond(self, request: Request<Incoming>) -> Response<ResponseBody> {
        let payloads = &self.payloads;
        let (head, body) = request.into_parts();
        if head.method == Method::GET {
            let is_resume = head.headers.contains_key("last-event-id");
            let unrelated = is_resume.then(|| payloads.unrelated.clone());
            return sse(ResponseBody::Endless([Some(payloads.priming.clone()), unrelated].into()));
        }
        let body = read_body(body).await;
        let has = |text: &str| memmem::find(&body, text.as_bytes()).is_some();
        if has(r#""method":"initialize""#) {
            let mut response = sse(ResponseBody::full(payloads.initialize_response.clone()));
            let headers = response.headers_mut();
            headers.insert("mcp-session-id", HeaderValue::from_static("none"));
            return response;
        }
        if has(r#""method":"notifications/"#) {
            let mut response = Response::new(ResponseBody::full(Bytes::new()));
            *response.status_mut() = StatusCode::ACCEPTED;
            return response;
        }
        if has(r#""name":"events""#) {
            return sse(self.events(&body));
        }
        sse(match self.parts {
            ResponseParts::One => ResponseBody::full(payloads.whole.clone()),
            ResponseParts::Two => ResponseBody::Buffered([
                Some(payloads.response.clone()),
                Some(payloads.priming.clone()),
            ]),
            ResponseParts::TwoWrites => {
                let (sender, rest) = mpsc::channel(1);
                let response = payloads.response.clone();
                tokio::spawn(async move { sender.send(response).await });
                ResponseBody::Channel(Some(payloads.priming.clone()), rest)
            }
        })
    }

    /// Sends each event from a task.
    fn events(&self, body: &[u8]) -> ResponseBody {
        let count = match message::parse(body) {
            message::Parsed::Call(_, tool, _) => tool.events(),
            message::Parsed::Initialize | message::Parsed::Other => 0,
        };
        let (sender, rest) = mpsc::channel(16);
        let payloads = Arc::clone(&self.payloads);
        tokio::spawn(async move {
            for _ in 0..count {
                sender.send(payloads.progress.clone()).await?;
            }
            sender.send(payloads.response.clone()).await
        });
        ResponseBody::Channel(Some(self.payloads.priming.clone()), rest)
    }
}

impl Service<Request<Incoming>> for BareHyper {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let response = self.clone().respond(request);
        Box::pin(async move { Ok(response.await) })
    }
}

/// Reads a body, which usually has one part.
async fn read_body(mut body: Incoming) -> Bytes {
    let mut whole = Bytes::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.into_data() else { continue };
        whole = if whole.is_empty() { data } else { [whole, data].concat().into() };
    }
    whole
}

fn sse(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The body of a response.
pub(super) enum ResponseBody {
    /// One part of known length.
    Full(Option<Bytes>),
    /// Parts that are ready, in reverse order.
    Buffered([Option<Bytes>; 2]),
    /// One part that is ready, and others from a channel.
    Channel(Option<Bytes>, mpsc::Receiver<Bytes>),
    /// Parts that are ready, without an end of the body.
    Endless(Vec<Option<Bytes>>),
}

impl ResponseBody {
    fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = match self.get_mut() {
            Self::Full(part) => part.take(),
            Self::Buffered([second, first]) => first.take().or_else(|| second.take()),
            Self::Channel(first, rest) => match first.take() {
                Some(first) => Some(first),
                None => ready!(rest.poll_recv(cx)),
            },
            Self::Endless(parts) => match parts.iter_mut().find_map(Option::take) {
                Some(part) => Some(part),
                None => return Poll::Pending,
            },
        };
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(part) => SizeHint::with_exact(part.as_ref().map_or(0, Bytes::len) as u64),
            Self::Buffered(_) | Self::Channel(..) | Self::Endless(_) => SizeHint::default(),
        }
    }
}
