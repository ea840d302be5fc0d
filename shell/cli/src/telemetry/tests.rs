//! An order of events that the tests of the program cannot cause.

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

#[tokio::test(start_paused = true)]
async fn a_request_whose_end_is_told_before_its_beginning_has_one_span() {
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(ended.clone()).build();
    let meters = SdkMeterProvider::builder().build();
    let instruments = Instruments::new(&meters.meter("test"));
    let tracer = provider.tracer("test");
    let observer =
        ServerObserver::new("default".into(), tracer, instruments, ServerNames::default());
    let observer = Arc::new(EndsFirst { observer, begun: Mutex::default() });
    let sessions = SessionManager::builder(Demo, ManagerConfig::default()).observer(observer);
    let sessions = sessions.build().unwrap();
    let session = sessions.create_session().await.unwrap();
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
    for (id, method) in [(0, "initialize"), (1, "ping"), (2, "tools/list")] {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = session.request(post(&request), AnswerFormat::Json).await.unwrap();
        assert!(response(request).await["result"].is_object());
    }
    session.delete().unwrap();
    assert_eq!(*ended.0.lock(), ["initialize", "ping", "tools/list"]);
}
