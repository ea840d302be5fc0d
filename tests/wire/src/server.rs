//! Servers, as a client reaches them: in this process, or behind a socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use crate::sabotage::Sabotaged;

/// A way of bytes in both directions.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A server.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// In this process, with so much room in a pipe.
    Here { service: Sabotaged, room: usize },
    /// Behind a socket.
    There(SocketAddr),
}

/// The three ends that a link is made of: the client's, and the two of what is between.
pub(crate) struct Ends {
    pub(crate) client: Box<dyn Pipe>,
    pub(crate) near: Box<dyn Pipe>,
    pub(crate) far: Box<dyn Pipe>,
}

impl Server {
    /// Connects something in between to a client, and to the server.
    pub(crate) async fn connect(&self) -> io::Result<Ends> {
        match self {
            Self::Here { service, room } => {
                let (client, near) = duplex(*room);
                let (far, server) = duplex(*room);
                serve(service.clone(), server);
                Ok(Ends { client: Box::new(client), near: Box::new(near), far: Box::new(far) })
            }
            Self::There(address) => {
                // A proxy of its own for each connection.
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let client = TcpStream::connect(listener.local_addr()?).await?;
                let (near, _) = listener.accept().await?;
                let far = TcpStream::connect(address).await?;
                for stream in [&client, &near, &far] {
                    stream.set_nodelay(true)?;
                }
                Ok(Ends { client: Box::new(client), near: Box::new(near), far: Box::new(far) })
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
