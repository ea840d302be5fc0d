//! A collector that receives OTLP over HTTP.

use std::{fmt::Write as _, future, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{HistogramDataPoint, Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

/// Maximum time until something is received.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How a collector responds.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    Accepts,
    /// Has no path for metrics.
    AcceptsTraces,
    /// Refuses everything, with this status.
    Refuses(u16),
    /// Never responds.
    Hangs,
}

/// What a collector has received.
#[derive(Clone, Default)]
pub(crate) struct Received {
    pub(crate) requests: usize,
    pub(crate) spans: Vec<Span>,
    /// The latest value of each.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) resource: Resource,
}

/// A running collector.
pub(crate) struct Collector {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: watch::Sender<Behaviour>,
    received: watch::Sender<Received>,
}

impl Collector {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(behaviour),
            received: watch::Sender::default(),
        });
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    pub(crate) fn set(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    pub(crate) fn received(&self) -> Received {
        self.shared.received.borrow().clone()
    }

    /// Waits until `find` finds something.
    pub(crate) async fn wait<T>(&self, find: impl Fn(&Received) -> Option<T>) -> T {
        let mut received = self.shared.received.subscribe();
        let found = received.wait_for(|received| find(received).is_some());
        let found = timeout(TIMEOUT, found).await;
        let received = self.received();
        let names: Vec<_> = received.spans.iter().map(|span| &span.name).collect();
        drop(found.unwrap_or_else(|_| panic!("not among {names:?}")));
        find(&received).unwrap()
    }

    /// Waits for the span of the request with this id.
    pub(crate) async fn span(&self, request: &str) -> Span {
        let is_of = |span: &&Span| text(&span.attributes, "jsonrpc.request.id") == request;
        self.wait(|received| received.spans.iter().find(is_of).cloned()).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn traces(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let behaviour = match *shared.behaviour.borrow() {
        Behaviour::AcceptsTraces => Behaviour::Accepts,
        other @ (Behaviour::Accepts | Behaviour::Refuses(_) | Behaviour::Hangs) => other,
    };
    respond(&shared, behaviour, |received| {
        for spans in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            received.resource = spans.resource.unwrap();
            for scope in spans.scope_spans {
                assert_eq!(scope.scope.unwrap().name, "rejoin");
                received.spans.extend(scope.spans);
            }
        }
    })
    .await
}

async fn metrics(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let behaviour = *shared.behaviour.borrow();
    respond(&shared, behaviour, |received| {
        for metrics in ExportMetricsServiceRequest::decode(body).unwrap().resource_metrics {
            received.resource = metrics.resource.unwrap();
            let scopes = metrics.scope_metrics.into_iter();
            received.metrics = scopes.flat_map(|scope| scope.metrics).collect();
        }
    })
    .await
}

async fn respond(
    shared: &Shared,
    behaviour: Behaviour,
    receive: impl FnOnce(&mut Received),
) -> StatusCode {
    let is_accepted = matches!(behaviour, Behaviour::Accepts);
    shared.received.send_modify(|received| {
        received.requests += 1;
        if is_accepted {
            receive(received);
        }
    });
    match behaviour {
        Behaviour::Accepts => StatusCode::OK,
        Behaviour::AcceptsTraces => StatusCode::NOT_FOUND,
        Behaviour::Refuses(status) => StatusCode::from_u16(status).unwrap(),
        Behaviour::Hangs => future::pending().await,
    }
}

/// Returns an attribute as text; empty if there is none.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> String {
    let mut values = attributes.iter().filter(|attribute| attribute.key == key);
    let value = values.next().and_then(|attribute| attribute.value.clone()?.value);
    assert!(values.next().is_none(), "{key} is there twice");
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    }
}

/// Returns the events of a span, each with its attributes.
pub(crate) fn events(span: &Span) -> Vec<String> {
    let attribute = |attribute: &KeyValue| {
        format!(" {}={}", attribute.key, text(std::slice::from_ref(attribute), &attribute.key))
    };
    let event = |attributes: &[KeyValue]| attributes.iter().map(attribute).collect::<String>();
    span.events.iter().map(|it| format!("{}{}", it.name, event(&it.attributes))).collect()
}

pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

impl Received {
    /// Returns the only point of a histogram with these attributes.
    pub(crate) fn point(
        &self,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> Option<HistogramDataPoint> {
        let metric = self.metrics.iter().find(|metric| metric.name == name)?;
        assert_eq!(metric.unit, "s");
        let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
        let has_all = |point: &&HistogramDataPoint| {
            attributes.iter().all(|(key, value)| text(&point.attributes, key) == *value)
        };
        let mut points = histogram.data_points.iter().filter(has_all);
        let point = points.next()?;
        assert_eq!(points.next(), None, "{name} {attributes:?}");
        Some(point.clone())
    }
}
