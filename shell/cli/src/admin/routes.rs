//! The routes of the listener for operators.

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    host,
    live::Viewers,
    metrics::Metrics,
    on_demand::OnDemand,
    session_list::{self, Overview, Window},
    session_timeline, sessions,
};
use crate::{readiness::Readiness, serve::Servers, timeline::live_page};

#[derive(Clone)]
struct Context {
    servers: Servers,
    readiness: Readiness,
    metrics: Metrics,
    viewers: Viewers,
    /// All sessions, for those who look at the list.
    overview: OnDemand<Overview>,
}

pub(super) fn router(servers: Servers, readiness: Readiness, metrics: Metrics) -> Router {
    // A web page that has bound its name to this address must not read or end sessions.
    let sessions = Router::new()
        .route("/", get(page))
        .route("/live/sessions", get(live_list))
        .route("/live/sessions/{session}", get(live_session))
        .route("/sessions", get(list))
        .route("/sessions/{session}", get(one).delete(end))
        .layer(middleware::from_fn(host::check));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .merge(sessions)
        .with_state(Context {
            servers,
            readiness,
            metrics,
            viewers: Viewers::default(),
            overview: OnDemand::default(),
        })
}

async fn ready(State(context): State<Context>) -> (StatusCode, &'static str) {
    if !context.readiness.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else if !context.servers.are_available() {
        (StatusCode::SERVICE_UNAVAILABLE, "the store is away\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

/// Specification: `OpenMetrics` 1.0, "Exposition formats".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn scrape(State(context): State<Context>) -> Response {
    match context.metrics.encode(&context.servers) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn page() -> Response {
    let page = live_page();
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, page.policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, page.html).into_response()
}

async fn live_list(State(context): State<Context>, Query(window): Query<Window>) -> Response {
    let Context { servers, metrics, viewers, overview, .. } = context;
    let read = move || session_list::read(&servers, metrics.histories());
    viewers.stream(|events| session_list::send(events, overview, read, window))
}

async fn live_session(State(context): State<Context>, Path(session): Path<String>) -> Response {
    let histories = context.metrics.histories().clone();
    let servers = context.servers;
    context.viewers.stream(|events| session_timeline::send(events, servers, histories, session))
}

async fn list(State(context): State<Context>) -> Response {
    json(&sessions::list(&context.servers))
}

async fn one(State(context): State<Context>, Path(session): Path<String>) -> Response {
    match sessions::find(&context.servers, &session) {
        Some(found) => json(&found.listed.entry()),
        None => unknown(),
    }
}

/// Ends a session: its pending requests fail, and its process is stopped.
async fn end(State(context): State<Context>, Path(session): Path<String>) -> Response {
    match sessions::find(&context.servers, &session) {
        Some(found) => {
            found.end();
            StatusCode::NO_CONTENT.into_response()
        }
        None => unknown(),
    }
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "there is no such session\n").into_response()
}

fn json(value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, format!("{value}\n")).into_response()
}
