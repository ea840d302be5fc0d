//! Orders of events that the tests of the program cannot cause.

use std::sync::Arc;

use opentelemetry::{metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::SdkMeterProvider,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use parking_lot::Mutex;
use rejoin::{
    ManagerConfig, Observer, SessionEvent, SessionId, SessionManager, rejoin_core::AnswerFormat,
};
use rejoin_local_client::{post, response};
use serde_json::json;

use super::{ServerNames, instruments::Instruments, observer::ServerObserver};
use crate::demo::Demo;

/// The names of the spans that have ended.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<String>>>);

impl SpanExporter for Ended {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch.into_iter().map(|span| span.name.into_owned()));
        Ok(())
    }
}

/// Tells an observer the beginnings of requests after their ends.
struct EndsFirst {
    observer: ServerObserver,
    begun: Mutex<Vec<SessionEvent>>,
}

impl Observer for EndsFirst {
    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        if let SessionEvent::RequestBegan { .. } = event {
            self.begun.lock().push(event.clone());
            return;
        }
        self.observer.on_session_event(session, event);
        if let SessionEvent::RequestEnded { .. } = event {
            for begun in self.begun.lock().drain(..) {
                self.observer.on_session_event(session, &begun);
            }
        }
    }
}

/// Tells an observer the events of one kind after the session was closed.
struct ClosedFirst {
    observer: Arc<ServerObserver>,
    is_late: fn(&SessionEvent) -> bool,
    late: Mutex<Vec<SessionEvent>>,
}

impl Observer for ClosedFirst {
    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        if (self.is_late)(event) {
            self.late.lock().push(event.clone());
            return;
        }
        self.observer.on_session_event(session, event);
        if let SessionEvent::Closed { .. } = event {
            for late in self.late.lock().drain(..) {
                self.observer.on_session_event(session, &late);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_session_whose_events_are_told_after_its_end() {
    let kinds: [fn(&SessionEvent) -> bool; 3] = [
        |event| matches!(event, SessionEvent::Opened(_)),
        |event| matches!(event, SessionEvent::RequestBegan { .. }),
        |event| matches!(event, SessionEvent::RequestEnded { .. }),
    ];
    for is_late in kinds {
        let ended = Ended::default();
        let (_provider, observer) = observer(&ended);
        let observer = Arc::new(observer);
        let late = Mutex::default();
        let told = ClosedFirst { observer: Arc::clone(&observer), is_late, late };
        let names = serve(Arc::new(told)).await;
        assert!(observer.is_empty());
        assert_eq!(*ended.0.lock(), names, "each request has one span");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_end_is_told_before_its_beginning_has_one_span() {
    let ended = Ended::default();
    let (_provider, observer) = observer(&ended);
    let names = serve(Arc::new(EndsFirst { observer, begun: Mutex::default() })).await;
    assert_eq!(*ended.0.lock(), names);
}

fn observer(ended: &Ended) -> (SdkTracerProvider, ServerObserver) {
    let provider = SdkTracerProvider::builder().with_simple_exporter(ended.clone()).build();
    let meters = SdkMeterProvider::builder().build();
    let instruments = Instruments::new(&meters.meter("test"));
    let tracer = provider.tracer("test");
    let observer =
        ServerObserver::new("default".into(), tracer, instruments, ServerNames::default());
    (provider, observer)
}

/// Serves a session from its beginning to its end. Returns its requests.
async fn serve(observer: Arc<dyn Observer>) -> [&'static str; 3] {
    let names = ["initialize", "ping", "tools/list"];
    let sessions = SessionManager::builder(Demo, ManagerConfig::default()).observer(observer);
    let sessions = sessions.build().unwrap();
    let session = sessions.create_session().await.unwrap();
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
    for (id, method) in (0..).zip(names) {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = session.request(post(&request), AnswerFormat::Json).await.unwrap();
        assert!(response(request).await["result"].is_object());
    }
    session.delete().unwrap();
    names
}
