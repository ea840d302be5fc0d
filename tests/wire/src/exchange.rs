//! HTTP exchanges: one request of a client and its response, over a faulty link.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use rejoin_test_support::HttpResponse;
use tokio::time::timeout;

use crate::link::{LinkPlan, relay};
use crate::simulation::Simulation;

/// A response that is being received.
#[derive(Debug)]
pub(crate) struct Exchange {
    response: HttpResponse,
    /// Whether no fault delays the response.
    pub(crate) is_fault_free: bool,
}

/// A connection error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionError {
    pub(crate) kind: ConnectionErrorKind,
    /// Whether only the server can have caused it: no fault was injected, and no wait was due.
    pub(crate) is_servers_fault: bool,
}

/// The kind of a connection error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionErrorKind {
    /// The connection was closed before the response was complete.
    Closed,
    /// Nothing was received for too long.
    TimedOut,
}

/// Maximum size of a body that is not a stream, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

impl Exchange {
    /// Sends a request, and waits for the response head.
    pub(crate) async fn start(
        simulation: &Simulation,
        plan: LinkPlan,
        request: Request<Full<Bytes>>,
    ) -> Result<Self, ConnectionError> {
        let is_fault_free = plan.is_fault_free();
        let closed =
            ConnectionError { kind: ConnectionErrorKind::Closed, is_servers_fault: is_fault_free };
        let timed_out = ConnectionError {
            kind: ConnectionErrorKind::TimedOut,
            is_servers_fault: is_fault_free && !head_may_be_delayed(simulation, &request),
        };
        let ends = simulation.server.connect().await.map_err(|_| closed)?;
        let (fault_free, longest) =
            (simulation.fault_free(), simulation.parameters.link_timeouts());
        let coverage = simulation.link_coverage();
        tokio::spawn(async move {
            coverage.count(relay(ends.near, ends.far, plan, longest, fault_free).await);
        });
        let received = HttpResponse::receive(ends.client, request);
        let response = timeout(simulation.parameters.response_timeout(), received).await;
        let response = response.map_err(|_| timed_out)?.map_err(|_| closed)?;
        Ok(Self { response, is_fault_free })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.response.headers
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.response.is_event_stream()
    }

    /// Waits for more of the body, for `longest` at most; `None` is its end.
    pub(crate) async fn next(
        &mut self,
        longest: Duration,
    ) -> Result<Option<Bytes>, ConnectionError> {
        let broken = |kind| ConnectionError { kind, is_servers_fault: self.is_fault_free };
        let (closed, timed_out) =
            (broken(ConnectionErrorKind::Closed), broken(ConnectionErrorKind::TimedOut));
        let chunk = timeout(longest, self.response.chunk()).await;
        chunk.map_err(|_| timed_out)?.map_err(|_| closed)
    }

    /// Reads a whole body that is not a stream.
    pub(crate) async fn collect(&mut self, longest: Duration) -> Result<Vec<u8>, ConnectionError> {
        let mut all = Vec::new();
        while let Some(data) = self.next(longest).await? {
            all.extend_from_slice(&data);
            if all.len() > BODY_BYTES_MAX {
                return Err(ConnectionError {
                    kind: ConnectionErrorKind::Closed,
                    is_servers_fault: true,
                });
            }
        }
        Ok(all)
    }
}

impl ConnectionError {
    /// Returns what the server did wrong, if anything.
    pub(crate) fn servers_fault(self) -> Option<&'static str> {
        self.is_servers_fault.then_some(match self.kind {
            ConnectionErrorKind::Closed => "a fault-free connection was closed early",
            ConnectionErrorKind::TimedOut => {
                "nothing was received on a fault-free connection, not even a keep-alive comment"
            }
        })
    }
}

/// Returns whether the response head waits for a backend that may never respond.
fn head_may_be_delayed(simulation: &Simulation, request: &Request<Full<Bytes>>) -> bool {
    simulation.parameters.json_responses
        && request.method() == Method::POST
        && !simulation.is_fault_free()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::link::LinkFault;
    use crate::parameters::{BackendKind, Parameters};
    use crate::server::Server;

    /// Returns the error of an exchange with a server that sends `response` and closes the
    /// connection.
    async fn broken(plan: LinkPlan, response: &'static str) -> Option<ConnectionError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::Socket(listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1_000]).await;
            let _ = stream.write_all(response.as_bytes()).await;
        });
        let parameters = Parameters::draw_real_time(0, BackendKind::Demo, 1);
        let simulation = Simulation::new(parameters, server, Arc::new(AtomicBool::new(false)));
        let request = Request::get("/mcp").body(Full::default()).unwrap();
        let collected = async {
            Exchange::start(&simulation, plan, request)
                .await?
                .collect(simulation.parameters.response_timeout())
                .await
        };
        let broken = collected.await.err();
        serving.abort();
        broken
    }

    #[tokio::test]
    async fn early_close_is_servers_fault_unless_link_was_cut() {
        let closed = |is_servers_fault| {
            Some(ConnectionError { kind: ConnectionErrorKind::Closed, is_servers_fault })
        };
        let collected = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall";
        assert_eq!(broken(LinkPlan::FAULT_FREE, collected).await, None);
        for response in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nall"] {
            assert_eq!(broken(LinkPlan::FAULT_FREE, response).await, closed(true), "{response}");
        }
        let cut = LinkPlan { fault: LinkFault::CutAfter(9), ..LinkPlan::FAULT_FREE };
        assert_eq!(broken(cut, collected).await, closed(false));
    }
}
