//! The observer of a server, which makes spans and metrics of its events.

use std::{sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SdkTracer;
use parking_lot::Mutex;
use rejoin::{
    ObservedRequest, Observer, RequestEnd, SessionEvent, SessionId, SpanIds,
    rejoin_core::{CloseReason, Report},
};

use super::{
    ServerNames, attributes,
    instruments::Instruments,
    open_spans::{OpenSpans, Which},
    request_span::RequestSpan,
};
use crate::observers::labels;

pub(super) struct ServerObserver {
    server: Arc<str>,
    tracer: SdkTracer,
    instruments: Instruments,
    names: ServerNames,
    open: Mutex<OpenSpans>,
}

impl ServerObserver {
    pub(super) fn new(
        server: Arc<str>,
        tracer: SdkTracer,
        instruments: Instruments,
        names: ServerNames,
    ) -> Self {
        Self { server, tracer, instruments, names, open: Mutex::default() }
    }

    /// Returns whether no span is open, and nothing is known of a session that is.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.lock().is_empty()
    }

    fn begin(
        &self,
        session: SessionId,
        request: &Arc<ObservedRequest>,
        age: Duration,
    ) -> RequestSpan {
        let name = attributes::span_name(&request.details);
        let attributes = attributes::begun(&self.server, session, request);
        RequestSpan::begin(&self.tracer, name, attributes, request, age)
    }

    /// Begins the span of an event that begins a request, if it has none yet.
    fn begin_by(&self, open: &mut OpenSpans, session: SessionId, event: &SessionEvent) {
        if let SessionEvent::RequestBegan { request, stream, connection } = event {
            open.begin(session, request, || {
                let mut span = self.begin(session, request, Duration::ZERO);
                (span.stream, span.connection) = (*stream, Some(*connection));
                span
            });
        }
    }

    fn on_ended(
        &self,
        session: SessionId,
        request: &Arc<ObservedRequest>,
        end: RequestEnd,
        duration: Duration,
    ) {
        let Self { server, instruments, names, .. } = self;
        let operation = attributes::operation(server, names, &request.details, end);
        instruments.record_operation(duration, &operation);
        let mut open = self.open.lock();
        let revision = open.revision(session);
        let set_end = |span: &mut RequestSpan| {
            let name = attributes::span_name_with_target(names, &request.details, end);
            let mut ended = attributes::ended(end);
            if let Some(revision) = revision {
                ended.push(KeyValue::new("mcp.protocol.version", revision.as_str().to_owned()));
            }
            span.set_end(name, ended, end != RequestEnd::Result);
        };
        let which = Which::Request(request);
        if open.find(session, &which).is_some() {
            open.change(session, &which, set_end);
            let sent = open.take(session, &which, |span| !waits_for_client(span, end));
            drop(open);
            sent.into_iter().for_each(RequestSpan::end);
        } else if !open.is_closed(session) {
            open.note_ended(session, request);
            drop(open);
            let mut span = self.begin(session, request, duration);
            set_end(&mut span);
            span.end();
        }
    }
}

/// Returns whether the client of a request that has ended is away, and can come back for the
/// response.
fn waits_for_client(span: &RequestSpan, end: RequestEnd) -> bool {
    let is_kept = match end {
        RequestEnd::Result
        | RequestEnd::ToolError
        | RequestEnd::Error { .. }
        | RequestEnd::TooLarge
        | RequestEnd::TimedOut
        | RequestEnd::BackendLost => true,
        RequestEnd::Cancelled
        | RequestEnd::Abandoned
        | RequestEnd::Orphaned
        | RequestEnd::SessionClosed(_)
        | _ => false,
    };
    is_kept && span.stream.is_some() && span.connection.is_none()
}

/// Adds an event to some spans whose connection has ended.
fn disconnect(open: &mut OpenSpans, session: SessionId, which: &Which<'_>, reason: &'static str) {
    open.change(session, which, |span| {
        span.connection = None;
        span.add_event("disconnected", vec![KeyValue::new("rejoin.reason", reason)]);
    });
}

fn number(key: &'static str, value: u64) -> KeyValue {
    KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX))
}

impl Observer for ServerObserver {
    fn span_ids(&self, session: SessionId, event: &SessionEvent) -> Option<SpanIds> {
        let which = Which::of(event)?;
        let mut open = self.open.lock();
        self.begin_by(&mut open, session, event);
        open.find(session, &which).map(RequestSpan::ids)
    }

    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        let on_stream = |stream: &_| Which::Stream(*stream);
        match event {
            SessionEvent::Opened(opened) => {
                self.open.lock().note_revision(session, opened.revision);
            }
            SessionEvent::Closed { reason, was_opened, age, .. } => {
                if *was_opened {
                    let attributes = attributes::session(&self.server, *reason);
                    self.instruments.record_session(*age, &attributes);
                }
                let unsent = self.open.lock().close(session);
                unsent.into_iter().for_each(RequestSpan::end_unsent);
            }
            SessionEvent::RequestBegan { .. } => {
                self.begin_by(&mut self.open.lock(), session, event);
            }
            SessionEvent::RequestEnded { request, end, duration } => {
                self.on_ended(session, request, *end, *duration);
            }
            SessionEvent::ConnectionLost { stream, .. } => {
                disconnect(&mut self.open.lock(), session, &on_stream(stream), "lost");
            }
            SessionEvent::ConnectionCut { connection, reason } => {
                let which = Which::Connection(*connection);
                let reason = labels::cut_reason(*reason);
                disconnect(&mut self.open.lock(), session, &which, reason);
            }
            SessionEvent::ConnectionClosed { connection, reason: CloseReason::Requested } => {
                let which = Which::Connection(*connection);
                disconnect(&mut self.open.lock(), session, &which, "requested");
            }
            SessionEvent::Resumed { connection, stream, after, replayed } => {
                let mut open = self.open.lock();
                open.change(session, &on_stream(stream), |span| {
                    span.connection = Some(*connection);
                    span.add_event("resumed", vec![number("rejoin.after", *after)]);
                    if *replayed > 0 {
                        let replayed = number("rejoin.events", *replayed as u64);
                        span.add_event("replayed", vec![replayed]);
                    }
                });
                let has_ended = |span: &RequestSpan| span.ended_at.is_some();
                let sent = open.take(session, &on_stream(stream), has_ended);
                drop(open);
                sent.into_iter().for_each(RequestSpan::end);
            }
            SessionEvent::Gap { stream, first, last } => {
                self.open.lock().change(session, &on_stream(stream), |span| {
                    let missed = last.saturating_sub(*first).saturating_add(1);
                    let attributes = vec![
                        number("rejoin.first", *first),
                        number("rejoin.last", *last),
                        number("rejoin.events", missed),
                    ];
                    span.add_event("gap", attributes);
                });
            }
            SessionEvent::Report(report) => self.on_report(session, report),
            SessionEvent::RequestTimedOut { .. }
            | SessionEvent::ConnectionClosed { .. }
            | SessionEvent::ProcessStarted { .. }
            | SessionEvent::OpenFailed { .. }
            | SessionEvent::ProcessEnded { .. }
            | _ => {}
        }
    }
}

impl ServerObserver {
    fn on_report(&self, session: SessionId, report: &Report) {
        let (stream, event, is_gone) = match report {
            Report::StreamExpired { stream } => (*stream, "expired", true),
            Report::ResponseLost { stream } => (*stream, "response lost", true),
            Report::ResponseEvicted { stream, .. } => (*stream, "response evicted", false),
            Report::Undeliverable { .. }
            | Report::UnknownProgressToken { .. }
            | Report::RequestEnded { .. }
            | Report::ReaderStalled { .. }
            | _ => return,
        };
        let mut open = self.open.lock();
        let which = Which::Stream(stream);
        open.change(session, &which, |span| span.add_event(event, Vec::new()));
        if is_gone {
            let unsent = open.take(session, &which, |span| span.ended_at.is_some());
            drop(open);
            unsent.into_iter().for_each(RequestSpan::end_unsent);
        }
    }
}
