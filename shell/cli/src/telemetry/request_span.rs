//! The span of a request.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _,
        Tracer as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use rejoin::{
    ObservedRequest, SpanIds,
    rejoin_core::{ConnectionId, StreamId},
};

use super::trace_context;

/// A span that has not ended, and its request.
///
/// A request whose client is away when it ends has an open span until the client has come back:
/// until its response is sent.
pub(super) struct RequestSpan {
    pub(super) request: Arc<ObservedRequest>,
    /// The stream of the response; `None` for `initialize`.
    pub(super) stream: Option<StreamId>,
    /// The connection that is attached to the stream, if there is one.
    pub(super) connection: Option<ConnectionId>,
    /// When the request has ended.
    pub(super) ended_at: Option<SystemTime>,
    span: Span,
}

impl RequestSpan {
    /// Begins the span of a request that has begun some time ago.
    ///
    /// Its parent is the context in the message, else that of the HTTP request, which is otherwise
    /// linked.
    pub(super) fn begin(
        tracer: &SdkTracer,
        name: &'static str,
        attributes: Vec<KeyValue>,
        request: &Arc<ObservedRequest>,
        age: Duration,
    ) -> Self {
        let details = &request.details;
        let http = request.http_traceparent.as_deref();
        let http = http.and_then(|parent| trace_context::parse(parent, None));
        let parent = details.traceparent.as_deref();
        let state = details.tracestate.as_deref();
        let parent = parent.and_then(|parent| trace_context::parse(parent, state));
        let (parent, linked) = if parent.is_some() { (parent, http) } else { (http, None) };
        let now = now();
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(now.checked_sub(age).unwrap_or(now))
            .with_attributes(attributes)
            .with_links(
                linked.map(|context| Link::new(context, Vec::new(), 0)).into_iter().collect(),
            );
        let span = tracer.build_with_context(builder, &context(parent));
        let request = Arc::clone(request);
        Self { request, stream: None, connection: None, ended_at: None, span }
    }

    pub(super) fn ids(&self) -> SpanIds {
        let context = self.span.span_context();
        SpanIds::new(
            u128::from_be_bytes(context.trace_id().to_bytes()),
            u64::from_be_bytes(context.span_id().to_bytes()),
        )
    }

    pub(super) fn add_event(&mut self, name: &'static str, attributes: Vec<KeyValue>) {
        self.span.add_event(name, attributes);
    }

    /// Sets what is known once the request has ended.
    pub(super) fn set_end(
        &mut self,
        name: Option<String>,
        attributes: Vec<KeyValue>,
        is_error: bool,
    ) {
        if let Some(name) = name {
            self.span.update_name(name);
        }
        self.span.set_attributes(attributes);
        if is_error {
            self.span.set_status(Status::Error { description: Cow::Borrowed("") });
        }
        self.ended_at = Some(now());
    }

    /// Ends the span: the response was sent.
    pub(super) fn end(mut self) {
        self.span.end();
    }

    /// Ends the span of a request whose client did not come back for its response, when the
    /// request has ended.
    pub(super) fn end_unsent(mut self) {
        self.span.end_with_timestamp(self.ended_at.unwrap_or_else(now));
    }
}

fn context(parent: Option<SpanContext>) -> Context {
    match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "collectors compare the times of many systems")]
fn now() -> SystemTime {
    SystemTime::now()
}
