//! The observer of a server, which counts.

use std::sync::Arc;

use rejoin::{
    ObservedRequest, Observer, Refused, RequestEnd, SessionEvent, SessionId,
    rejoin_core::{Report, UndeliverableReason},
};

use super::{
    families::Families,
    labels::{OperationLabels, ReasonLabels, RefusalLabels, ServerLabels},
    operations::Operations,
};
use crate::{
    admin::history::Histories,
    observers::{KnownNames, labels},
};

/// Counts the events of one server, and remembers those that are rare.
pub(super) struct ServerObserver {
    families: Arc<Families>,
    labels: ServerLabels,
    tools: Arc<KnownNames>,
    operations: Operations,
    histories: Histories,
}

impl ServerObserver {
    pub(super) fn new(
        server: Arc<str>,
        families: Arc<Families>,
        tools: Arc<KnownNames>,
        histories: Histories,
    ) -> Self {
        let labels = ServerLabels { server };
        // So that rates of what did not happen yet are zero.
        drop(families.sessions_opened.get_or_create(&labels));
        drop(families.resumes.get_or_create(&labels));
        drop(families.gaps.get_or_create(&labels));
        Self { families, labels, tools, operations: Operations::default(), histories }
    }

    fn because(&self, reason: &'static str) -> ReasonLabels {
        ReasonLabels { server: Arc::clone(&self.labels.server), reason }
    }

    fn on_request_ended(&self, request: &ObservedRequest, end: RequestEnd, seconds: f64) {
        let details = &request.details;
        let (method, error_type) = (labels::method(details), labels::error_type(end));
        let tool = labels::tool(details);
        let observe = |tool: &str| self.operations.observe(method, tool, &error_type, seconds);
        // A tool that has a histogram is a known one.
        if observe(tool.unwrap_or_default()) {
            return;
        }
        let gen_ai_tool_name = self.tools.label(tool, end == RequestEnd::Result);
        if observe(&gen_ai_tool_name) {
            return;
        }
        let server = Arc::clone(&self.labels.server);
        let labels =
            OperationLabels { server, mcp_method_name: method, gen_ai_tool_name, error_type };
        let histogram = self.families.durations.operation.get_or_create(&labels).clone();
        histogram.observe(seconds);
        self.operations.add(labels, histogram);
    }

    fn on_report(&self, report: &Report) {
        let Self { families, labels, .. } = self;
        let dropped = |reason| {
            families.responses_dropped.get_or_create(&self.because(reason)).inc();
        };
        match report {
            Report::StreamExpired { .. } => {
                families.streams_expired.get_or_create(labels).inc();
            }
            Report::ReaderStalled { .. } => {
                families.readers_stalled.get_or_create(labels).inc();
            }
            Report::Undeliverable { reason, .. } => dropped(match reason {
                UndeliverableReason::UnknownRequest => "unknown_request",
                UndeliverableReason::CancelledRequest => "cancelled_request",
                UndeliverableReason::UnknownServerRequest => "unknown_server_request",
            }),
            Report::ResponseEvicted { .. } => dropped("evicted"),
            Report::ResponseLost { .. } => dropped("lost"),
            Report::UnknownProgressToken { .. } | Report::RequestEnded { .. } | _ => {}
        }
    }
}

impl Observer for ServerObserver {
    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        let Self { families, labels, .. } = self;
        match event {
            SessionEvent::Opened(_) => {
                families.sessions_opened.get_or_create(labels).inc();
            }
            SessionEvent::Closed { reason, was_opened: true, age, .. } => {
                families
                    .sessions_closed
                    .get_or_create(&self.because(labels::close_reason(*reason)))
                    .inc();
                families.durations.session.get_or_create(labels).observe(age.as_secs_f64());
            }
            SessionEvent::Restored { .. } => {
                families.sessions_restored.get_or_create(labels).inc();
            }
            SessionEvent::GivenUp { reason } => {
                let reason = self.because(labels::give_up_reason(*reason));
                families.sessions_given_up.get_or_create(&reason).inc();
            }
            SessionEvent::RequestEnded { request, end, duration } => {
                return self.on_request_ended(request, *end, duration.as_secs_f64());
            }
            SessionEvent::Resumed { replayed, .. } => {
                families.resumes.get_or_create(labels).inc();
                families.events_replayed.get_or_create(labels).inc_by(*replayed as u64);
            }
            SessionEvent::Gap { first, last, .. } => {
                families.gaps.get_or_create(labels).inc();
                let missed = last.saturating_sub(*first).saturating_add(1);
                families.events_missed.get_or_create(labels).inc_by(missed);
            }
            SessionEvent::ConnectionLost { .. } => {
                families.connections_lost.get_or_create(labels).inc();
            }
            SessionEvent::ConnectionCut { reason, .. } => {
                let reason = self.because(labels::cut_reason(*reason));
                families.connections_cut.get_or_create(&reason).inc();
            }
            SessionEvent::Report(report) => self.on_report(report),
            SessionEvent::ProcessStarted { duration, .. } => {
                families.processes.get_or_create(labels).inc();
                families
                    .durations
                    .process_start
                    .get_or_create(labels)
                    .observe(duration.as_secs_f64());
            }
            SessionEvent::ProcessEnded { was_unexpected, .. } => {
                families.processes.get_or_create(labels).dec();
                let how = if *was_unexpected { "before_session" } else { "with_session" };
                families.process_exits.get_or_create(&self.because(how)).inc();
            }
            SessionEvent::OpenFailed { .. } => {
                families.open_failures.get_or_create(labels).inc();
            }
            SessionEvent::Closed { was_opened: false, .. }
            | SessionEvent::RequestBegan { .. }
            | SessionEvent::RequestTimedOut { .. }
            | SessionEvent::ConnectionClosed { .. }
            | _ => {}
        }
        self.histories.on_session_event(session, event);
    }

    fn on_refused(&self, refused: &Refused) {
        let labels = RefusalLabels {
            server: Arc::clone(&self.labels.server),
            code: refused.status.as_u16(),
            option: refused.option.unwrap_or_default(),
        };
        self.families.refusals.get_or_create(&labels).inc();
    }

    fn traces_requests(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::EncodeMetric as _, registry::Registry};
    use rejoin::{
        ManagerConfig, SessionManager,
        rejoin_core::{AnswerFormat, RequestDetails},
    };
    use rejoin_local_client::{post, response};
    use serde_json::json;

    use super::*;
    use crate::demo::Demo;

    /// Keeps the last request that has ended.
    #[derive(Default)]
    struct Last(parking_lot::Mutex<Option<Arc<ObservedRequest>>>);

    impl Observer for Last {
        fn on_session_event(&self, _: SessionId, event: &SessionEvent) {
            if let SessionEvent::RequestEnded { request, .. } = event {
                *self.0.lock() = Some(Arc::clone(request));
            }
        }
    }

    async fn request() -> ObservedRequest {
        let last = Arc::<Last>::default();
        let sessions = SessionManager::builder(Demo, ManagerConfig::default());
        let sessions = sessions.observer(Arc::clone(&last) as Arc<dyn Observer>).build().unwrap();
        let session = sessions.create_session().await.unwrap();
        let params =
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
        let initialize =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        response(session.request(post(&initialize), AnswerFormat::Json).await.unwrap()).await;
        let request = last.0.lock().take().unwrap();
        ObservedRequest::clone(&request)
    }

    #[tokio::test(start_paused = true)]
    async fn the_histogram_of_a_tool_is_looked_up_once_whatever_its_label() {
        let families = Arc::new(Families::register(&mut Registry::default()));
        let (tools, histories) = (Arc::<KnownNames>::default(), Histories::default());
        let observer = ServerObserver::new("s".into(), Arc::clone(&families), tools, histories);
        let mut request = request().await;
        let mut call = |tool: &str, end| {
            request.details = RequestDetails::default();
            request.details.set_method("tools/call");
            request.details.set_target(tool);
            observer.on_request_ended(&request, end, 0.0);
        };
        let error = RequestEnd::Error { code: Some(-32_602) };
        for (tool, other, end) in [("a", "a", RequestEnd::Result), ("b", "c", error)] {
            call(tool, end);
            // A second look-up would create the histogram again.
            families.durations.operation.clear();
            call(other, end);
            assert!(families.durations.operation.is_empty(), "{tool} {other}");
        }
        for number in 0..300 {
            call(&number.to_string(), RequestEnd::Result);
        }
        families.durations.operation.clear();
        call("one more", RequestEnd::Result);
        assert!(families.durations.operation.is_empty(), "no further tool becomes known");
    }
}
