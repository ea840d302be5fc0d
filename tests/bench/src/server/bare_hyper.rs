//! The limit: bare hyper, which says what the others say, and knows nothing.

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

/// How the answer to a call comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum ResponseParts {
    /// All at once, with its length.
    One,
    /// In two parts, which are both there when the first one is asked for.
    Two,
    /// In two parts, the second of which a task sends: there are two writes.
    TwoWrites,
}

/// Answers every call with the same.
#[derive(Clone)]
pub(super) struct BareHyper {
    parts: ResponseParts,
    said: Arc<Payloads>,
}

/// What it has to say.
struct Payloads {
    priming: Bytes,
    answer: Bytes,
    whole: Bytes,
    progress: Bytes,
    welcome: Bytes,
    news: Bytes,
}

impl BareHyper {
    /// Echoes the same text each time, as by the same id.
    pub(super) fn new(parts: ResponseParts, text: &str) -> Self {
        let event = |data: &str| format!("event: message\nid: 1/1000000\ndata: {data}\n\n");
        let priming = "id: 0/1000000\ndata:\n\n".to_owned();
        let answer = event(&message::tool_response(1_000_000, text));
        let said = Payloads {
            whole: format!("{priming}{answer}").into(),
            priming: priming.into(),
            answer: answer.into(),
            progress: event(&message::progress(1_000_000, 500)).into(),
            welcome: event(&message::initialize_response()).into(),
            news: event(message::UNRELATED).into(),
        };
        Self { parts, said: Arc::new(said) }
    }

    async fn respond(self, request: Request<Incoming>) -> Response<ResponseBody> {
        let said = &self.said;
        let (head, body) = request.into_parts();
        if head.method == Method::GET {
            let is_back = head.headers.contains_key("last-event-id");
            let news = is_back.then(|| said.news.clone());
            return sse(ResponseBody::Endless([Some(said.priming.clone()), news].into()));
        }
        let body = read_body(body).await;
        let has = |what: &str| memmem::find(&body, what.as_bytes()).is_some();
        if has(r#""method":"initialize""#) {
            let mut response = sse(ResponseBody::full(said.welcome.clone()));
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
            ResponseParts::One => ResponseBody::full(said.whole.clone()),
            ResponseParts::Two => {
                ResponseBody::Buffered([Some(said.answer.clone()), Some(said.priming.clone())])
            }
            ResponseParts::TwoWrites => {
                let (sender, rest) = mpsc::channel(1);
                let answer = said.answer.clone();
                tokio::spawn(async move { sender.send(answer).await });
                ResponseBody::Channel(Some(said.priming.clone()), rest)
            }
        })
    }

    /// Sends every event from a task, as they come.
    fn events(&self, body: &[u8]) -> ResponseBody {
        let count = match message::parse(body) {
            message::Parsed::Call(_, tool, _) => tool.events(),
            message::Parsed::Initialize | message::Parsed::Other => 0,
        };
        let (sender, rest) = mpsc::channel(16);
        let said = Arc::clone(&self.said);
        tokio::spawn(async move {
            for _ in 0..count {
                sender.send(said.progress.clone()).await?;
            }
            sender.send(said.answer.clone()).await
        });
        ResponseBody::Channel(Some(self.said.priming.clone()), rest)
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
        let answer = self.clone().respond(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Reads a body, which is mostly in one part.
async fn read_body(mut body: Incoming) -> Bytes {
    let mut whole = Bytes::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.into_data() else { continue };
        whole = if whole.is_empty() { data } else { [whole, data].concat().into() };
    }
    whole
}

fn sse(answer: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The body of an answer.
pub(super) enum ResponseBody {
    /// One part, whose length is known.
    Full(Option<Bytes>),
    /// Parts that are there, the last one first.
    Buffered([Option<Bytes>; 2]),
    /// One part that is there, and others that come.
    Channel(Option<Bytes>, mpsc::Receiver<Bytes>),
    /// Parts that are there, and no end.
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
