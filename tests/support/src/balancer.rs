//! A naive load balancer for HTTP: each request goes to the next node, whatever its session.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A balancer that runs until it is dropped.
///
/// It knows nothing of sessions or of the health of a node. A request that was sent is never sent
/// again: only if a node refuses the connection, the next one gets it. If a node breaks the
/// connection before the head of its response, the client gets 502 with a text; after that, the
/// connection of the client breaks, too.
#[derive(Debug)]
pub struct Balancer {
    /// The host and the port.
    pub address: String,
    nodes: Arc<Mutex<Nodes>>,
    _acceptor: AbortOnDrop,
}

#[derive(Debug)]
struct Nodes {
    /// `None` for one that gets no requests.
    addresses: Vec<Option<String>>,
    /// Number of requests that each node got.
    requests: Vec<u64>,
    next: usize,
}

impl Balancer {
    /// Starts a balancer on a free port, in the runtime of the caller.
    pub async fn start(addresses: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = vec![0; addresses.len()];
        let addresses = addresses.into_iter().map(Some).collect();
        let nodes = Arc::new(Mutex::new(Nodes { addresses, requests, next: 0 }));
        let acceptor = AbortOnDrop(tokio::spawn(accept(listener, Arc::clone(&nodes))));
        Self { address, nodes, _acceptor: acceptor }
    }

    /// Gives a node another address: it was started again.
    pub fn replace(&self, node: usize, address: &str) {
        self.nodes.lock().unwrap().addresses[node] = Some(address.to_owned());
    }

    /// Sends no more requests to a node, until it is replaced.
    pub fn remove(&self, node: usize) {
        self.nodes.lock().unwrap().addresses[node] = None;
    }

    /// Chooses the node that gets the next request.
    pub fn choose_next(&self, node: usize) {
        self.nodes.lock().unwrap().next = node;
    }

    /// Returns the number of requests that each node got.
    #[must_use]
    pub fn requests(&self) -> Vec<u64> {
        self.nodes.lock().unwrap().requests.clone()
    }
}

impl Nodes {
    /// Returns the nodes in the order in which the next request tries them, with their addresses.
    fn take_next(&mut self) -> Vec<(usize, String)> {
        let count = self.addresses.len();
        let nodes = (self.next..self.next + count).map(|node| node % count);
        let nodes = nodes.filter_map(|node| Some((node, self.addresses[node].clone()?))).collect();
        self.next = (self.next + 1) % count;
        nodes
    }
}

async fn accept(listener: TcpListener, nodes: Arc<Mutex<Nodes>>) {
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        let nodes = Arc::clone(&nodes);
        let service = service_fn(move |request| pass_on(Arc::clone(&nodes), request));
        // A client may break its connection, or a node a response.
        connections.spawn(async move {
            drop(server::Builder::new().serve_connection(TokioIo::new(connection), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

type Passed = Either<PassedBody, Full<Bytes>>;

async fn pass_on(
    nodes: Arc<Mutex<Nodes>>,
    request: Request<Incoming>,
) -> Result<Response<Passed>, Infallible> {
    let Some(connection) = connect(&nodes).await else {
        return Ok(bad_gateway("no node accepts connections"));
    };
    let Ok((mut sender, connection)) = client::handshake(TokioIo::new(connection)).await else {
        return Ok(bad_gateway("a node broke the connection"));
    };
    // Ends with this request: also if its client goes away.
    let connection = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    Ok(match sender.send_request(request).await {
        Ok(response) => {
            response.map(|body| Either::Left(PassedBody { body, _connection: connection }))
        }
        Err(_) => bad_gateway("a node broke the connection"),
    })
}

/// Connects to the next node that accepts the connection.
async fn connect(nodes: &Mutex<Nodes>) -> Option<TcpStream> {
    let candidates = nodes.lock().unwrap().take_next();
    for (node, address) in candidates {
        if let Ok(connection) = TcpStream::connect(address).await {
            connection.set_nodelay(true).unwrap();
            nodes.lock().unwrap().requests[node] += 1;
            return Some(connection);
        }
    }
    None
}

fn bad_gateway(why: &'static str) -> Response<Passed> {
    let mut response = Response::new(Either::Right(Full::from(why)));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// The body of a response, with the connection that it comes from.
#[derive(Debug)]
struct PassedBody {
    body: Incoming,
    _connection: AbortOnDrop,
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::Client;

    /// Starts a node that answers each request with `response`, and then ends the connection.
    async fn node(response: &'static str) -> (String, AbortOnDrop) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                assert_ne!(connection.read(&mut request).await.unwrap(), 0);
                connection.write_all(response.as_bytes()).await.unwrap();
            }
        };
        (address, AbortOnDrop(tokio::spawn(serving)))
    }

    const WHOLE: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{}";

    #[tokio::test]
    async fn requests_go_round() {
        let ((first, _first), (second, _second)) = (node(WHOLE).await, node(WHOLE).await);
        let balancer = Balancer::start(vec![first, second]).await;
        for _ in 0..6 {
            let response = Client::new(&balancer.address).get(None).await;
            assert_eq!(response.status, StatusCode::ACCEPTED);
        }
        assert_eq!(balancer.requests(), [3, 3]);
    }

    #[tokio::test]
    async fn a_node_that_refuses_connections_is_passed_over() {
        let ((first, ended), (second, _second)) = (node(WHOLE).await, node(WHOLE).await);
        let balancer = Balancer::start(vec![first, second]).await;
        drop(ended);
        tokio::task::yield_now().await;
        for _ in 0..2 {
            let response = Client::new(&balancer.address).get(None).await;
            assert_eq!(response.status, StatusCode::ACCEPTED);
        }
        assert_eq!(balancer.requests(), [0, 2]);
        let (third, _third) = node(WHOLE).await;
        balancer.replace(0, &third);
        balancer.choose_next(0);
        Client::new(&balancer.address).get(None).await;
        assert_eq!(balancer.requests(), [1, 2]);
        balancer.remove(1);
        Client::new(&balancer.address).get(None).await;
        assert_eq!(balancer.requests(), [2, 2]);
    }

    #[tokio::test]
    async fn a_request_that_was_sent_is_not_sent_again() {
        let ((first, _first), (second, _second)) = (node("").await, node(WHOLE).await);
        let balancer = Balancer::start(vec![first, second]).await;
        let response = Client::new(&balancer.address).get(None).await;
        assert_eq!(response.status, StatusCode::BAD_GATEWAY);
        assert_eq!(balancer.requests(), [1, 0]);
    }

    #[tokio::test]
    async fn a_response_that_breaks_breaks_for_the_client() {
        let (address, _node) = node(HALF).await;
        let balancer = Balancer::start(vec![address]).await;
        let mut response = Client::new(&balancer.address).get(None).await;
        assert_eq!(response.chunk().await.unwrap().unwrap(), "{}");
        assert!(response.chunk().await.is_err());
    }
}
