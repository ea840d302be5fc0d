//! Opening of a session by a client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use rejoin_tests::kit::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Client;
use super::send::request;
use crate::client_session::ClientSession;
use crate::exchange::{ConnectionError, Exchange};
use crate::message::{Stamp, failure_of};
use crate::parameters::BackendKind;
use crate::simulation::Simulation;
use rejoin_test_support::sse::{Item, Parser};

/// The revisions that clients request, the newest more often.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-11-25", "2025-06-18", "2025-03-26"];

/// Opens a session. `None` if that fails.
pub(super) async fn initialize(
    simulation: &Arc<Simulation>,
    name: String,
    rng: &mut Rng,
) -> Option<Arc<ClientSession>> {
    let version = rng.choose(&VERSIONS)?;
    let (began, must_be_answered) = (Instant::now(), simulation.is_fault_free());
    let body = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "arguments": { "calm": must_be_answered },
            "protocolVersion": version,
            "capabilities": { "sampling": {}, "elicitation": {} },
            // A child process seeds its generator with this.
            "clientInfo": { "name": name, "version": simulation.parameters.base.seed.to_string() },
        },
    });
    let request = request(Method::POST).body(Full::new(Bytes::from(body.to_string()))).ok()?;
    let plan = simulation.draw_link(rng);
    let mut exchange = match Exchange::start(simulation, plan, request).await {
        Ok(exchange) => exchange,
        Err(broken) => {
            on_connection_error(simulation, broken);
            simulation.hit("sessions: not initialized");
            return None;
        }
    };
    let session_id = exchange.headers().get("mcp-session-id").cloned();
    let session_id = session_id.and_then(|id| id.to_str().ok().map(str::to_owned));
    let Some(response) = read_response(simulation, &mut exchange).await else {
        simulation.hit("sessions: not initialized");
        return None;
    };
    let is_stamped = simulation.parameters.backend != BackendKind::Demo;
    let result = InitializeResult {
        name: &name,
        version,
        session_id: session_id.as_deref(),
        must_be_answered,
        is_stamped,
    };
    if let Err(failure) = result.check(exchange.status(), &response) {
        simulation.report_failure(
            None,
            format!("initialize of {name} with {version}: {failure}: {response}"),
        );
        return None;
    }
    let Some(session_id) = session_id else {
        simulation.hit("sessions: not initialized");
        return None;
    };
    let session = ClientSession::new(name, session_id, version.to_owned(), began);
    simulation.add_session(&session);
    simulation.hit("sessions");
    let client =
        Client { simulation: Arc::clone(simulation), session: Arc::clone(&session), no: 0 };
    client.notify(rng, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    Some(session)
}

/// The result of `initialize`, to be checked.
#[derive(Clone, Copy, Debug)]
struct InitializeResult<'a> {
    /// The client's name.
    name: &'a str,
    /// The revision that it requested, which all backends support.
    version: &'a str,
    /// The session id in the response.
    session_id: Option<&'a str>,
    /// Whether it was sent in the fault-free phase.
    must_be_answered: bool,
    /// Whether the backend stamps its messages.
    is_stamped: bool,
}

impl InitializeResult<'_> {
    /// Checks the response.
    fn check(&self, status: StatusCode, response: &Value) -> Result<(), &'static str> {
        if status != StatusCode::OK {
            return Err("unexpected status");
        }
        if response.get("id") != Some(&json!(0)) {
            return Err("wrong request id");
        }
        let stamp = Stamp::of(response);
        let is_own = stamp.is_some_and(|it| it.session == self.name && it.serial == 0);
        match (response.get("result"), self.session_id) {
            (Some(_), None) => Err("initialized without a session id"),
            (None, Some(_)) => Err("refused with a session id"),
            (None, None) if self.must_be_answered => Err("refused without a fault"),
            (None, None) if is_own || failure_of(response).is_some() => Ok(()),
            (None, None) => Err("refused without a reason"),
            (Some(_), Some(_)) if self.is_stamped && !is_own => {
                Err("the response belongs to another session")
            }
            (Some(result), Some(_))
                if result.get("protocolVersion") != Some(&json!(self.version)) =>
            {
                Err("wrong revision")
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

/// Handles a connection error.
fn on_connection_error(simulation: &Simulation, broken: ConnectionError) {
    if let Some(failure) = broken.servers_fault() {
        simulation.report_failure(None, format!("initialize: {failure}"));
    }
}

/// Reads the response, if it arrives completely.
async fn read_response(simulation: &Simulation, exchange: &mut Exchange) -> Option<Value> {
    let whole = exchange.collect(simulation.parameters.response_timeout()).await;
    let whole = whole.inspect_err(|broken| on_connection_error(simulation, *broken)).ok()?;
    if !exchange.is_stream() {
        return serde_json::from_slice(&whole).ok();
    }
    let mut reader = Parser::default();
    reader.push(&whole);
    match reader.next_item() {
        Ok(Some(Item::Message { id: None, data })) => serde_json::from_slice(&data).ok(),
        Ok(_) => None,
        Err(failure) => {
            simulation.report_failure(None, failure);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = r#""stamp": {"owner": "1/0", "serial": 0}"#;

    fn check(result: InitializeResult<'_>, response: &str) -> Result<(), &'static str> {
        let response = response.replace("STAMP", STAMP);
        result.check(StatusCode::OK, &serde_json::from_str(&response).unwrap())
    }

    #[test]
    fn checks_successful_initialize() {
        let accepted = InitializeResult {
            name: "1/0",
            version: "2025-11-25",
            session_id: Some("s"),
            must_be_answered: true,
            is_stamped: true,
        };
        let valid = r#"{"id": 0, "result": {"protocolVersion": "2025-11-25", STAMP}}"#;
        assert_eq!(check(accepted, valid), Ok(()));
        assert!(check(InitializeResult { session_id: None, ..accepted }, valid).is_err());
        assert!(check(InitializeResult { name: "1/1", ..accepted }, valid).is_err());
        assert!(check(InitializeResult { version: "2025-06-18", ..accepted }, valid).is_err());
        for failure in [
            r#"{"id": 1, "result": {"protocolVersion": "2025-11-25", STAMP}}"#,
            r#"{"id": 0, "result": {STAMP}}"#,
            r#"{"id": 0, "result": {"protocolVersion": "2025-11-25"}}"#,
            r#"{"id": 0, "error": {"code": 1, "message": "it failed", "data": {STAMP}}}"#,
        ] {
            assert!(check(accepted, failure).is_err(), "{failure}");
        }
        let response = serde_json::from_str(&valid.replace("STAMP", STAMP)).unwrap();
        assert!(accepted.check(StatusCode::ACCEPTED, &response).is_err());
    }

    #[test]
    fn checks_refused_initialize() {
        let refused = InitializeResult {
            name: "1/0",
            version: "2025-11-25",
            session_id: None,
            must_be_answered: false,
            is_stamped: true,
        };
        for valid in [
            r#"{"id": 0, "error": {"code": 1, "message": "it failed", "data": {STAMP}}}"#,
            r#"{"id": 0, "error": {"code": -32603, "message": "the session was closed"}}"#,
        ] {
            assert_eq!(check(refused, valid), Ok(()));
            assert!(check(InitializeResult { session_id: Some("s"), ..refused }, valid).is_err());
            assert!(check(InitializeResult { must_be_answered: true, ..refused }, valid).is_err());
        }
        let unstamped = r#"{"id": 0, "error": {"code": 7, "message": "no"}}"#;
        assert!(check(refused, unstamped).is_err());
    }
}
