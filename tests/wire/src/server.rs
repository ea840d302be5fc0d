//! Servers, as a client reaches them: in this process, or behind a socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::kernel::Buffers;
use crate::sabotage::Sabotaged;

/// A way of bytes in both directions.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A server.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// In this process, with so much room in a pipe, and with the buffers of systems or without.
    Here { service: Sabotaged, room: usize, buffers: Option<Buffers> },
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
            Self::Here { service, room, buffers } => {
                let (client, near) = duplex(*room);
                let service = service.clone();
                let far: Box<dyn Pipe> = if let Some(buffers) = buffers {
                    let (server, far) = buffers.connect(*room);
                    serve(service, server);
                    Box::new(far)
                } else {
                    let (server, far) = duplex(*room);
                    serve(service, server);
                    Box::new(far)
                };
                Ok(Ends { client: Box::new(client), near: Box::new(near), far })
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

/// How many bytes the HTTP server buffers before it waits until all of them are written, as in
/// the program.
const BUFFER_BYTES: usize = 64 << 10;

/// Returns how much of what a session has sent the HTTP server holds at most, where no message
/// is larger than so many bytes: it may take as much again as it takes at once when its
/// buffer is almost full.
pub(crate) const fn unwritten_max(message_bytes: usize) -> usize {
    BUFFER_BYTES + TAKEN_AT_ONCE + message_bytes
}

/// How many bytes it takes from a session at once, before the last message.
const TAKEN_AT_ONCE: usize = 16 << 10;

fn serve(service: Sabotaged, server: impl Pipe + 'static) {
    let service = TowerToHyperService::new(service);
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER_BYTES);
    let connection = http.serve_connection(TokioIo::new(server), service);
    tokio::spawn(async move { drop(connection.await) });
}
