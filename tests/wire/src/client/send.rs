//! The HTTP requests of a client.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use rejoin_core::EventId;
use rejoin_tests::kit::Rng;
use tokio::time::sleep;

use super::Client;
use crate::exchange::{ConnectionError, ConnectionErrorKind, Exchange};
use crate::link::LinkPlan;

/// The path of the endpoint.
pub(super) const PATH: &str = "/mcp";

/// Begins an HTTP request without the headers of a session.
pub(super) fn request(method: Method) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(PATH)
        .header(header::HOST, "localhost")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::CONTENT_TYPE, "application/json")
}

impl Client {
    /// Begins an HTTP request with the headers of the session.
    pub(super) fn request(&self, method: Method) -> http::request::Builder {
        request(method)
            .header("mcp-session-id", &self.session.id)
            .header("mcp-protocol-version", &self.session.version)
    }

    /// Sends a POST.
    pub(super) async fn post(
        &self,
        plan: LinkPlan,
        body: String,
    ) -> Result<Exchange, ConnectionError> {
        self.session.record.lock().posts_sent += 1;
        self.session.trace(format!("> POST {body} ({plan:?})"));
        self.send(plan, self.request(Method::POST), body.into()).await
    }

    /// Sends a GET.
    pub(super) async fn get(
        &self,
        rng: &mut Rng,
        last_event_id: Option<EventId>,
    ) -> Result<Exchange, ConnectionError> {
        let plan = self.simulation.draw_link(rng);
        self.session.trace(format!("> GET {last_event_id:?} ({plan:?})"));
        let mut request = self.request(Method::GET);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        self.send(plan, request, Bytes::new()).await
    }

    /// Sends a DELETE until it is received.
    pub(super) async fn delete(&self, rng: &mut Rng) {
        while !self.session.is_over() {
            let plan = self.simulation.draw_link(rng);
            self.session.trace("> DELETE".to_owned());
            let sent = self.send(plan, self.request(Method::DELETE), Bytes::new()).await;
            match sent.map(|exchange| exchange.status()) {
                Ok(StatusCode::NO_CONTENT | StatusCode::NOT_FOUND) => {
                    self.simulation.hit("sessions: deleted");
                    return self.session.end();
                }
                Ok(status) => {
                    return self.report_failure(format!("a DELETE was answered by {status}"));
                }
                Err(_) => sleep(self.simulation.millis(rng, 20, 500)).await,
            }
        }
    }

    pub(super) async fn send(
        &self,
        plan: LinkPlan,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Exchange, ConnectionError> {
        let no_request =
            ConnectionError { kind: ConnectionErrorKind::Closed, is_servers_fault: true };
        let request = request.body(Full::new(body)).map_err(|_| no_request)?;
        let sent = Exchange::start(&self.simulation, plan, request).await;
        match &sent {
            Ok(exchange) => {
                let status = exchange.status();
                self.session.trace(format!("< {status}"));
                // Callers handle these, if they are expected.
                let may_be_expected =
                    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY);
                if status.is_server_error() && !may_be_expected {
                    self.report_failure(format!("server error: {status}"));
                }
            }
            Err(broken) => self.on_connection_error(*broken),
        }
        sent
    }

    /// Handles a connection error.
    pub(super) fn on_connection_error(&self, broken: ConnectionError) {
        self.session.trace(format!("< error: {broken:?}"));
        if let Some(failure) = broken.servers_fault() {
            self.report_failure(failure.to_owned());
        }
    }
}
