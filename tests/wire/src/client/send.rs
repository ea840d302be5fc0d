//! Sending: the HTTP requests of a client.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use rejoin_core::EventId;
use rejoin_tests::world::Chance;
use tokio::time::sleep;

use super::Guest;
use crate::exchange::{Broken, Exchange, How};
use crate::link::Fate;

/// The path of the endpoint.
pub(super) const PATH: &str = "/mcp";

/// Begins a request; whoever makes one for a session says which.
pub(super) fn request(method: Method) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(PATH)
        .header(header::HOST, "localhost")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::CONTENT_TYPE, "application/json")
}

impl Guest {
    /// Begins a request for the session.
    pub(super) fn request(&self, method: Method) -> http::request::Builder {
        request(method)
            .header("mcp-session-id", &self.visit.session)
            .header("mcp-protocol-version", &self.visit.version)
    }

    /// Sends a POST.
    pub(super) async fn post(&self, fate: Fate, body: String) -> Result<Exchange, Broken> {
        self.visit.record.lock().sent += 1;
        self.visit.note(format!("> POST {body} ({fate:?})"));
        self.send(fate, self.request(Method::POST), body.into()).await
    }

    /// Sends a GET.
    pub(super) async fn get(
        &self,
        luck: &mut Chance,
        last_event_id: Option<EventId>,
    ) -> Result<Exchange, Broken> {
        let fate = self.world.fate(luck);
        self.visit.note(format!("> GET {last_event_id:?} ({fate:?})"));
        let mut request = self.request(Method::GET);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        self.send(fate, request, Bytes::new()).await
    }

    /// Sends a DELETE, until it is heard.
    pub(super) async fn delete(&self, luck: &mut Chance) {
        while !self.visit.is_over() {
            let fate = self.world.fate(luck);
            self.visit.note("> DELETE".to_owned());
            let sent = self.send(fate, self.request(Method::DELETE), Bytes::new()).await;
            match sent.map(|exchange| exchange.status()) {
                Ok(StatusCode::NO_CONTENT | StatusCode::NOT_FOUND) => {
                    self.world.count("sessions: deleted");
                    return self.visit.leave();
                }
                Ok(status) => return self.blame(format!("a DELETE was answered by {status}")),
                Err(_) => sleep(self.world.millis(luck, 20, 500)).await,
            }
        }
    }

    pub(super) async fn send(
        &self,
        fate: Fate,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Exchange, Broken> {
        let no_request = Broken { how: How::Off, is_wrong: true };
        let request = request.body(Full::new(body)).map_err(|_| no_request)?;
        let sent = Exchange::begin(&self.world, fate, request).await;
        match &sent {
            Ok(exchange) => {
                let status = exchange.status();
                self.visit.note(format!("< {status}"));
                if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
                    self.blame(format!("the server is at fault: {status}"));
                }
            }
            Err(broken) => self.hear_of(*broken),
        }
        sent
    }

    /// Hears that a connection broke.
    pub(super) fn hear_of(&self, broken: Broken) {
        self.visit.note(format!("< broken: {broken:?}"));
        if let Some(wrong) = broken.wrong() {
            self.blame(wrong.to_owned());
        }
    }
}
