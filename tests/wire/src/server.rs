//! Servers, as a client reaches them: in this process, or behind a socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::deliberate_bugs::BuggyService;
use crate::kernel::SocketBuffers;

/// A bidirectional byte stream.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A server.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// In this process, behind a pipe of this size, with socket buffers or without.
    InProcess { service: BuggyService, pipe_bytes: usize, buffers: Option<SocketBuffers> },
    /// Behind a socket.
    Socket(SocketAddr),
}

/// The three ends of a link: the client's, and the two of the proxy.
pub(crate) struct Ends {
    pub(crate) client: Box<dyn Pipe>,
    pub(crate) near: Box<dyn Pipe>,
    pub(crate) far: Box<dyn Pipe>,
}

impl Server {
    /// Connects a proxy to a client and to the server.
    pub(crate) async fn connect(&self) -> io::Result<Ends> {
        match self {
            Self::InProcess { service, pipe_bytes, buffers } => {
                let (client, near) = duplex(*pipe_bytes);
                let service = service.clone();
                let far: Box<dyn Pipe> = if let Some(buffers) = buffers {
                    let (server, far) = buffers.connect(*pipe_bytes);
                    serve(service, server);
                    Box::new(far)
                } else {
                    let (server, far) = duplex(*pipe_bytes);
                    serve(service, server);
                    Box::new(far)
                };
                Ok(Ends { client: Box::new(client), near: Box::new(near), far })
            }
            Self::Socket(address) => {
                // Each connection has a proxy of its own.
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

/// The size of the receive buffer towards a server, and the maximum segment size. Linux derives
/// from the latter how much the server may write before it blocks: about 20,000 bytes instead
/// of some megabytes.
const FAR_BYTES: u32 = 2_048;
const FAR_PIECE_BYTES: u32 = 88;

/// Returns a socket on which a server soon notices that nobody reads.
fn far_socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(FAR_BYTES)?;
    SockRef::from(&socket).set_tcp_mss(FAR_PIECE_BYTES)?;
    Ok(socket)
}

/// How many bytes the HTTP server buffers before it waits until all of them are written, same
/// as in the program.
const BUFFER_BYTES: usize = 64 << 10;

/// Returns how many bytes sent by a session the HTTP server holds at most, given the maximum
/// size of a message: when its buffer is almost full, it may take one more chunk.
pub(crate) const fn unwritten_max(message_bytes: usize) -> usize {
    BUFFER_BYTES + PULL_BYTES + message_bytes
}

/// How many bytes it pulls from a session at once, before the last message.
const PULL_BYTES: usize = 16 << 10;

fn serve(service: BuggyService, server: impl Pipe + 'static) {
    let service = TowerToHyperService::new(service);
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER_BYTES);
    let connection = http.serve_connection(TokioIo::new(server), service);
    tokio::spawn(async move { drop(connection.await) });
}
