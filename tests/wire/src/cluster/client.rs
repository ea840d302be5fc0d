//! Clients that call, and come back by themselves, each time at another node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use rejoin_core::EventId;
use rejoin_test_support::HttpResponse;
use rejoin_test_support::sse::{Item, Parser};
use rejoin_tests::kit::Rng;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Takeover;
use super::deliberate_bug::BugInjector;
use super::judge::{Judge, Violation};
use super::nodes::Nodes;
use super::session::{Reader, Session};

/// What all clients share.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) nodes: Nodes,
    pub(super) judge: Arc<Judge>,
    pub(super) takeover: Takeover,
    pub(super) injector: BugInjector,
    /// Whether faults are over, so that clients finish.
    pub(super) is_calm: watch::Sender<bool>,
}

/// A client with a session.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) cluster: Arc<Cluster>,
    pub(super) session: Arc<Session>,
    requests: Arc<AtomicI64>,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoResponse {
    /// No node listens: nothing was sent.
    NotSent,
    /// The connection broke.
    Broken,
    /// The node was silent for too long.
    Silent,
}

/// A response that is being received.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) http: HttpResponse,
    parser: Parser,
    altered: VecDeque<Item>,
}

/// The end of what is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The body ended as it should.
    Clean,
    /// The connection broke.
    Broken,
    /// Not even a comment came.
    Silent,
    /// It is not an event.
    Invalid,
}

/// Time for the head of the response to a POST: a node may wait for the store, its lease and the owner.
const POST_TIMEOUT: Duration = Duration::from_secs(15);
/// The same for a request that can be made again.
const GET_TIMEOUT: Duration = Duration::from_secs(6);
/// Time without a comment, which nodes send every second.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(6);
/// Time in which anything must be served in the end.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the balancer says if it has sent nothing.
const NO_NODE: &str = "no node accepts connections";

/// The revisions of clients. Only the first has priming events.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-11-25", "2025-11-25", "2025-06-18"];

impl Cluster {
    /// Sends a request to the next node.
    pub(super) async fn send(
        &self,
        request: http::request::Builder,
        body: String,
    ) -> Result<Response, NoResponse> {
        let Ok(request) = request.body(Full::new(Bytes::from(body))) else {
            return Err(NoResponse::NotSent);
        };
        let longest = if request.method() == Method::POST { POST_TIMEOUT } else { GET_TIMEOUT };
        let connection = TcpStream::connect(self.nodes.address()).await;
        let connection = connection.map_err(|_| NoResponse::NotSent)?;
        let received = timeout(longest, HttpResponse::receive(connection, request)).await;
        let http = received.map_err(|_| NoResponse::Silent)?.map_err(|_| NoResponse::Broken)?;
        let (parser, altered) = (Parser::default(), VecDeque::new());
        let mut response = Response { status: http.status, http, parser, altered };
        if response.is_of_balancer() {
            let text = response.text().await;
            return Err(if text == NO_NODE { NoResponse::NotSent } else { NoResponse::Broken });
        }
        Ok(response)
    }

    /// Begins a session, as soon as a node can. `None` if faults are over before.
    pub(super) async fn begin(self: &Arc<Self>, name: &str, rng: &mut Rng) -> Option<Client> {
        let version = rng.choose(&VERSIONS)?;
        let deadline = Instant::now() + PATIENCE;
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": version, "capabilities": { "elicitation": {} },
                "clientInfo": { "name": name, "version": "0" },
            },
        });
        while Instant::now() < deadline {
            let began = Instant::now();
            match self.send(request(Method::POST), initialize.to_string()).await {
                Ok(response) if response.status == StatusCode::OK => {
                    if let Some(session) = self.opened(response, name, version, began).await {
                        self.judge.hit("sessions");
                        let requests = Arc::new(AtomicI64::new(1));
                        let client = Client { cluster: Arc::clone(self), session, requests };
                        let initialized =
                            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
                        client.notify(&initialized).await;
                        return Some(client);
                    }
                }
                Ok(mut response) => {
                    let status = response.status;
                    self.judge.hit("initialize: refused");
                    let is_explained = self.judge.faults.has_disturbed(began);
                    if status != StatusCode::SERVICE_UNAVAILABLE && !is_explained {
                        let text = response.text().await;
                        let what = format!("initialize was answered by {status}: {text}");
                        self.judge.report(Violation::Unexpected, &what);
                    }
                }
                Err(NoResponse::NotSent) => {}
                Err(NoResponse::Broken | NoResponse::Silent) => {
                    self.judge.hit("initialize: no response");
                }
            }
            sleep(rng.millis(50, 400)).await;
        }
        self.judge.report(Violation::Unsettled, &format!("{name} cannot begin a session"));
        None
    }

    async fn opened(
        self: &Arc<Self>,
        mut response: Response,
        name: &str,
        version: &'static str,
        began: Instant,
    ) -> Option<Arc<Session>> {
        let id = response.http.headers.get("mcp-session-id").cloned();
        let text = response.text().await;
        let id = id.as_ref().and_then(|id| id.to_str().ok());
        let (Some(id), true) = (id, text.contains("\"result\"")) else {
            self.judge.hit("initialize: failed");
            if !self.judge.faults.has_disturbed(began) {
                self.judge.report(Violation::Unexpected, &format!("initialize failed: {text}"));
            }
            return None;
        };
        let id = id.to_owned();
        Some(Arc::new(Session::new(&self.judge, name.to_owned(), id, version, began)))
    }
}

impl Client {
    /// Returns a request id that was not used.
    pub(super) fn next_id(&self) -> i64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn judge(&self) -> &Judge {
        &self.cluster.judge
    }

    pub(super) async fn post(&self, message: &Value) -> Result<Response, NoResponse> {
        self.cluster.send(self.request(Method::POST), message.to_string()).await
    }

    pub(super) async fn get(&self, last: Option<EventId>) -> Result<Response, NoResponse> {
        let mut request = self.request(Method::GET);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
            self.judge().hit("resumes");
        }
        self.cluster.send(request, String::new()).await
    }

    fn request(&self, method: Method) -> http::request::Builder {
        request(method)
            .header("mcp-session-id", &self.session.id)
            .header("mcp-protocol-version", self.session.version)
    }

    /// Posts a message that has no response, until it is accepted.
    pub(super) async fn notify(&self, message: &Value) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !self.session.is_over() {
            match self.post(message).await.map(|response| response.status) {
                Ok(StatusCode::ACCEPTED) => return,
                Ok(StatusCode::NOT_FOUND) => return self.on_missing("a notification"),
                Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY) | Err(_) => {}
                Ok(status) => {
                    let what = format!("a notification was answered by {status}");
                    return self.judge().report(Violation::Unexpected, &what);
                }
            }
            sleep(Duration::from_millis(150)).await;
        }
    }

    /// Deletes the session.
    pub(super) async fn delete(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut may_be_deleted = false;
        while Instant::now() < deadline && !self.session.is_over() {
            let sent = self.cluster.send(self.request(Method::DELETE), String::new()).await;
            match sent.map(|response| response.status) {
                Ok(StatusCode::NO_CONTENT) => return self.session.end(),
                Ok(StatusCode::NOT_FOUND) if may_be_deleted => return self.session.end(),
                Ok(StatusCode::NOT_FOUND) => return self.on_missing("DELETE"),
                // It may be closed in memory already.
                Ok(_) | Err(_) => may_be_deleted = true,
            }
            sleep(Duration::from_millis(150)).await;
        }
        if !self.session.is_over() {
            let name = &self.session.name;
            self.judge().report(Violation::Unsettled, &format!("{name} cannot be deleted"));
        }
    }

    /// Handles that the session is not found: no other request is made.
    pub(super) fn on_missing(&self, what: &str) {
        if self.session.is_over() {
            return;
        }
        self.session.end();
        let Session { began, .. } = *self.session;
        let faults = &self.judge().faults;
        if faults.may_have_lost_session(began) {
            self.judge().hit("sessions: lost with the store and their owner");
        } else if self.cluster.takeover == Takeover::End && faults.has_disturbed_node(began) {
            self.judge().hit("sessions: ended with their server");
        } else {
            self.session.report(Violation::SessionLost, &Reader::new("-"), &format!("{what}: 404"));
        }
    }

    /// Returns whether what a client has not seen may be lost, too.
    pub(super) fn may_have_lost(&self) -> bool {
        self.judge().faults.may_have_lost_session(self.session.began)
    }
}

impl Response {
    /// Waits for the next item of an event stream.
    pub(super) async fn next(&mut self, injector: &BugInjector) -> Result<Item, End> {
        loop {
            if let Some(item) = self.altered.pop_front() {
                return Ok(item);
            }
            if let Some(item) = self.parser.next_item().map_err(|_| End::Invalid)? {
                self.altered.extend(injector.alter(item));
                continue;
            }
            let chunk = timeout(SILENCE_MAX, self.http.chunk()).await;
            match chunk.map_err(|_| End::Silent)? {
                Ok(Some(bytes)) => self.parser.push(&bytes),
                Ok(None) => return Err(End::Clean),
                Err(_) => return Err(End::Broken),
            }
        }
    }

    /// Returns whether the balancer has responded in place of a node, which breaks no connection.
    fn is_of_balancer(&self) -> bool {
        self.status == StatusCode::BAD_GATEWAY
            && !self.http.headers.contains_key(header::CONTENT_TYPE)
    }

    /// Returns the rest of the body.
    pub(super) async fn text(&mut self) -> String {
        let mut text = Vec::new();
        while let Ok(Ok(Some(bytes))) = timeout(SILENCE_MAX, self.http.chunk()).await {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns whether it says when to try again.
    pub(super) fn has_retry(&self) -> bool {
        self.http.headers.contains_key(header::RETRY_AFTER)
    }
}

fn request(method: Method) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri("/mcp")
        .header(header::HOST, "localhost")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::CONTENT_TYPE, "application/json")
}
