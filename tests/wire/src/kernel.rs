//! The socket buffers of a server and its client.
//!
//! What a server writes waits in its send buffer until the client's receive buffer has room,
//! and there until the client reads it. When a connection breaks, all of that is lost, although
//! the server has written it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin_tests::kit::Rng;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// A model of a TCP connection: the socket buffers, and how fast the client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpModel {
    pub(crate) buffers: SocketBuffers,
    /// How many bytes per second the client reads. `None` is unlimited.
    pub(crate) rate: Option<u32>,
}

/// The sizes of buffers in bytes, and when the server may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketBuffers {
    /// Maximum number of unsent bytes in the send buffer.
    not_sent_max: usize,
    /// A server that had to wait may write again when at most this many bytes are unsent.
    writable_at: usize,
    /// Size of the receive buffer.
    receive: usize,
}

/// Maximum number of unsent bytes with the `TCP_NOTSENT_LOWAT` that the program sets.
const LOW_WATER_MARK: usize = 64 << 10;
/// Maximum size of both buffers together.
const BUFFERS_MAX: usize = 4 << 20;
/// A client's kernel announces its window when it has grown by this, or by half of the buffer.
const SEGMENT: usize = 64 << 10;

/// Minimum and maximum rate of a steady reader, in bytes per second.
const RATE: (u32, u32) = (20_000, 4_000_000);

impl TcpModel {
    /// Draws the TCP model of a simulation: some buffers are small, some rates unlimited.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let rate = rng.chance(600).then(|| draw_rate(rng, 1));
        let buffers = if rng.chance(700) {
            SocketBuffers::with_low_water_mark(draw_size(
                rng,
                4 << 10,
                BUFFERS_MAX - LOW_WATER_MARK,
            ))
        } else {
            let send = draw_size(rng, 4 << 10, BUFFERS_MAX / 2);
            SocketBuffers::without_mark(send, draw_size(rng, 4 << 10, BUFFERS_MAX / 2))
        };
        Self { buffers, rate }
    }

    /// Draws the TCP model of a steady reader whose server sets the low-water mark; it is at
    /// least `speed` times as fast as the slowest.
    pub(crate) fn draw_steady(rng: &mut Rng, speed: u32) -> Self {
        let receive = draw_size(rng, 4 << 10, BUFFERS_MAX - LOW_WATER_MARK);
        let buffers = SocketBuffers::with_low_water_mark(receive);
        Self { buffers, rate: Some(draw_rate(rng, speed)) }
    }

    /// Returns for how long the server may be unable to write `bytes`, which do not fit into
    /// the buffers at once.
    pub(crate) fn pause_max(&self, bytes: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let SocketBuffers { not_sent_max, writable_at, .. } = self.buffers;
        let bytes = bytes + (not_sent_max - writable_at) + self.buffers.window_update_threshold();
        time_of(bytes, rate)
    }

    /// Returns the size of both buffers together.
    pub(crate) const fn bytes(&self) -> usize {
        self.buffers.not_sent_max + self.buffers.receive
    }
}

/// Returns how long it takes to read `bytes` at `rate` bytes per second.
pub(crate) fn time_of(bytes: usize, rate: u32) -> Duration {
    Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / rate
}

impl SocketBuffers {
    const fn with_low_water_mark(receive: usize) -> Self {
        // Linux wakes a writer when twice the unsent bytes are less than the mark.
        Self { not_sent_max: LOW_WATER_MARK, writable_at: LOW_WATER_MARK / 2 - 1, receive }
    }

    const fn without_mark(send: usize, receive: usize) -> Self {
        // Linux wakes a writer when a third of the buffer is free.
        Self { not_sent_max: send, writable_at: send / 3 * 2, receive }
    }

    /// Returns how much the window must grow before the client's kernel announces it, to avoid
    /// silly window syndrome (RFC 9293, section 3.8.6.2.2).
    fn window_update_threshold(&self) -> usize {
        SEGMENT.min(self.receive / 2).max(self.receive / 16)
    }

    /// Returns the ends of a server and of its peer; up to `room` bytes may be in flight to the
    /// server.
    pub(crate) fn connect(self, room: usize) -> (ServerEnd, ClientEnd) {
        let (to_server, from_client) = duplex(room);
        let way = Downstream {
            buffers: self,
            bytes: VecDeque::new(),
            not_sent: 0,
            window: self.receive,
            is_full: false,
            is_ended: false,
            is_broken: false,
            reader: None,
            writer: None,
        };
        let way = Arc::new(Mutex::new(way));
        let server = ServerEnd { from_client, way: Arc::clone(&way) };
        (server, ClientEnd { to_server, way })
    }
}

fn draw_rate(rng: &mut Rng, speed: u32) -> u32 {
    let (least, most) = RATE;
    let rate = draw_size(rng, to_usize(least * speed), to_usize(most));
    u32::try_from(rate).unwrap_or(most)
}

/// Draws a size, with each power of two equally likely.
fn draw_size(rng: &mut Rng, least: usize, most: usize) -> usize {
    let doublings = rng.below(u64::from((most / least).max(1).ilog2()) + 1);
    rng.size(least, most.min(least << (doublings + 1)))
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The direction from a server to its client.
#[derive(Debug)]
struct Downstream {
    buffers: SocketBuffers,
    /// What the client has not read. The last `not_sent` bytes are in the send buffer.
    bytes: VecDeque<u8>,
    not_sent: usize,
    /// How many more bytes the server's kernel may send.
    window: usize,
    /// Whether the server waits until it may write.
    is_full: bool,
    /// Whether the server has closed its side.
    is_ended: bool,
    /// Whether the client has closed its side.
    is_broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Downstream {
    /// Takes as many bytes as the send buffer has room for.
    fn write(&mut self, data: &[u8]) -> usize {
        let room = self.buffers.not_sent_max.saturating_sub(self.not_sent);
        let count = if self.is_full { 0 } else { room.min(data.len()) };
        self.is_full |= count == 0;
        self.bytes.extend(data.iter().take(count));
        self.not_sent += count;
        self.transmit();
        count
    }

    /// Reads what has arrived, and announces the new window.
    fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        let arrived = self.bytes.len() - self.not_sent;
        let count = arrived.min(buffer.remaining());
        let (front, back) = self.bytes.as_slices();
        let front = front.get(..count.min(front.len())).unwrap_or_default();
        buffer.put_slice(front);
        buffer.put_slice(back.get(..count - front.len()).unwrap_or_default());
        self.bytes.drain(..count);
        let free = self.buffers.receive.saturating_sub(arrived - count + self.window);
        if free >= self.buffers.window_update_threshold() {
            self.window += free;
        }
        self.transmit();
    }

    /// Sends as much as the window allows.
    fn transmit(&mut self) {
        let count = self.not_sent.min(self.window);
        self.not_sent -= count;
        self.window -= count;
        if count > 0 {
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        if self.is_full && self.not_sent <= self.buffers.writable_at {
            self.is_full = false;
            self.writer.take().into_iter().for_each(Waker::wake);
        }
    }

    fn close(&mut self) {
        self.is_ended = true;
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

/// The server's end.
#[derive(Debug)]
pub(crate) struct ServerEnd {
    from_client: DuplexStream,
    way: Arc<Mutex<Downstream>>,
}

/// The end of the server's peer.
#[derive(Debug)]
pub(crate) struct ClientEnd {
    to_server: DuplexStream,
    way: Arc<Mutex<Downstream>>,
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.way.lock();
        if way.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match way.write(data) {
            0 if !data.is_empty() => {
                way.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            count => Poll::Ready(Ok(count)),
        }
    }

    /// True of a socket, too: otherwise the HTTP server would buffer differently.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.way.lock().close();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from_client).poll_read(cx, buffer)
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.way.lock().close();
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut way = self.way.lock();
        let before = buffer.filled().len();
        way.read(buffer);
        let is_over = way.is_ended && way.bytes.is_empty();
        if buffer.filled().len() > before || is_over || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        way.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.to_server).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to_server).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to_server).poll_shutdown(cx)
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        let mut way = self.way.lock();
        way.is_broken = true;
        way.writer.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    /// Writes until the buffers are full, and returns the number of bytes.
    async fn fill(server: &mut ServerEnd) -> usize {
        let mut count = 0;
        let data = vec![7; 1_000];
        while let Ok(written) = timeout(Duration::from_millis(1), server.write(&data)).await {
            count += written.unwrap();
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn server_waits_until_unsent_bytes_are_below_half_of_the_mark() {
        let receive = 160 << 10;
        let (mut server, mut client) = SocketBuffers::with_low_water_mark(receive).connect(64);
        assert_eq!(fill(&mut server).await, receive + LOW_WATER_MARK);
        let mut read = vec![0; SEGMENT - 1];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(fill(&mut server).await, 0, "less than a segment is free");
        client.read_exact(&mut [0]).await.unwrap();
        assert_eq!(fill(&mut server).await, SEGMENT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_mark_server_waits_until_a_third_of_the_buffer_is_free() {
        let (mut server, mut client) = SocketBuffers::without_mark(3 << 20, 4 << 10).connect(64);
        assert_eq!(fill(&mut server).await, (3 << 20) + (4 << 10));
        let mut read = vec![0; (1 << 20) - (2 << 10)];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(fill(&mut server).await, 0);
        client.read_exact(&mut [0; 2 << 10]).await.unwrap();
        assert_eq!(fill(&mut server).await, 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn written_bytes_arrive_unless_the_connection_breaks() {
        let buffers = SocketBuffers::with_low_water_mark(4 << 10);
        let (mut server, mut client) = buffers.connect(64);
        client.write_all(b"ask").await.unwrap();
        server.read_exact(&mut [0; 3]).await.unwrap();
        server.write_all(&vec![7; 50_000]).await.unwrap();
        drop(server);
        let mut read = Vec::new();
        assert_eq!(client.read_to_end(&mut read).await.unwrap(), 50_000);

        let (mut server, client) = buffers.connect(64);
        fill(&mut server).await;
        drop(client);
        assert!(server.write_all(&[7]).await.is_err());
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    }
}
