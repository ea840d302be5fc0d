//! Server-sent events for those who look at the live page.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Those who look at the live page: at most [`VIEWERS_MAX`]. A clone is the same.
#[derive(Clone)]
pub(super) struct Viewers(Arc<Semaphore>);

/// The events that a viewer is sent.
pub(super) struct Events(mpsc::Sender<Bytes>);

/// The viewer has gone.
pub(super) struct Gone;

/// Maximum number of streams to viewers: each has one.
const VIEWERS_MAX: usize = 32;

/// Maximum number of events that wait for a viewer who reads slowly.
const EVENTS_MAX: usize = 2;

/// How long a stream may be silent.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Default for Viewers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(VIEWERS_MAX)))
    }
}

impl Viewers {
    /// Responds with the events that `send` sends. It is dropped when the viewer goes. One viewer
    /// too many gets an event that says so, because scripts do not see the status of a stream.
    pub(super) fn stream<F>(&self, send: impl FnOnce(Events) -> F) -> Response
    where
        F: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            let reason = format!("{VIEWERS_MAX} others look at this page already.");
            return event_stream(event("refused", &json!({ "reason": reason }).to_string()));
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let closed = sender.clone();
        let sending = send(Events(sender));
        tokio::spawn(async move {
            tokio::select! {
                _ = sending => {}
                () = closed.closed() => {}
            }
        });
        event_stream(Body::new(EventBody { events, _permit: permit }))
    }
}

fn event_stream(body: impl Into<Body>) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

/// Returns an event, whose data has no line break.
fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

impl Events {
    /// Sends an event, and waits for a viewer who reads slowly.
    pub(super) async fn send(&self, name: &str, data: &impl Serialize) -> Result<(), Gone> {
        let data = serde_json::to_string(data).map_err(|_| Gone)?;
        self.send_text(event(name, &data)).await
    }

    /// Shows that the stream is alive.
    pub(super) async fn keep_alive(&self) -> Result<(), Gone> {
        self.send_text(":\n\n".to_owned()).await
    }

    async fn send_text(&self, text: String) -> Result<(), Gone> {
        self.0.send(text.into()).await.map_err(|_| Gone)
    }
}

/// The body of a stream.
struct EventBody {
    events: mpsc::Receiver<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.events.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
