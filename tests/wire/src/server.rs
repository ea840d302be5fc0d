//! Servers, as a client reaches them: in this process, or behind a socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

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
                let far = far_socket()?.connect(*address).await?;
                for stream in [&client, &near, &far] {
                    stream.set_nodelay(true)?;
                }
                Ok(Ends { client: Box::new(client), near: Box::new(near), far: Box::new(far) })
            }
        }
    }
}

/// How many bytes the system takes from a server that nobody reads yet, and how many it sends
/// in one piece. By the latter it decides how much the server may write before it waits: some
/// 20,000 bytes, where it would be some millions otherwise.
const FAR_BYTES: u32 = 2_048;
const FAR_PIECE_BYTES: u32 = 88;

/// Returns a socket at whose other end a server soon notices that nobody reads.
fn far_socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(FAR_BYTES)?;
    SockRef::from(&socket).set_tcp_mss(FAR_PIECE_BYTES)?;
    Ok(socket)
}

fn serve(service: Sabotaged, server: DuplexStream) {
    let service = TowerToHyperService::new(service);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    tokio::spawn(async move { drop(connection.await) });
}
