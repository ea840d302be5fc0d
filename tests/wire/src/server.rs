//! Servers, as a client reaches them.

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};

use crate::sabotage::Sabotaged;

/// A way of bytes in both directions.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A server.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// In this process, with so much room in a pipe.
    Here { service: Sabotaged, room: usize },
}

/// The three ends that a link is made of: the client's, and the two of what is between.
pub(crate) struct Ends {
    pub(crate) client: Box<dyn Pipe>,
    pub(crate) near: Box<dyn Pipe>,
    pub(crate) far: Box<dyn Pipe>,
}

impl Server {
    /// Connects something in between to a client, and to the server.
    pub(crate) fn connect(&self) -> Ends {
        match self {
            Self::Here { service, room } => {
                let (client, near) = duplex(*room);
                let (far, server) = duplex(*room);
                serve(service.clone(), server);
                Ends { client: Box::new(client), near: Box::new(near), far: Box::new(far) }
            }
        }
    }
}

fn serve(service: Sabotaged, server: DuplexStream) {
    let service = TowerToHyperService::new(service);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    tokio::spawn(async move { drop(connection.await) });
}
