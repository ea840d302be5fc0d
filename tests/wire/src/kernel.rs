//! Kernels: what the systems of a server and its client buffer between the two.
//!
//! What a server writes waits in the send buffer of its system until the client's system has
//! room for it in its receive buffer, and there until the client reads it. When a connection
//! breaks, all of that is lost, although the server has written it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin_tests::world::Chance;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// A line between a server and a client: the buffers of their systems, and how fast the client
/// reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub(crate) buffers: Buffers,
    /// How many bytes a second the client reads, all the time. `None` means without a limit.
    pub(crate) rate: Option<u32>,
}

/// The sizes of buffers, in bytes, and when the server may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// How much may wait in the send buffer.
    not_sent_max: usize,
    /// Once the server had to wait, it may write when no more than this waits there.
    writable_at: usize,
    /// The size of the receive buffer.
    receive: usize,
}

/// How many bytes may wait in the send buffer where `TCP_NOTSENT_LOWAT` is set, as the program
/// sets it.
const LOW_WATER_MARK: usize = 64 << 10;
/// How large both buffers are at most, together.
const BUFFERS_MAX: usize = 4 << 20;
/// A client's system says that there is room again when there is this much of it, or half of
/// the buffer.
const SEGMENT: usize = 64 << 10;

/// How many bytes a second a steady reader reads, at least and at most.
const RATE: (u32, u32) = (20_000, 4_000_000);

impl Line {
    /// Draws the line of a world: some are small, some have no limit of speed.
    pub(crate) fn draw(luck: &mut Chance) -> Self {
        let rate = luck.strikes(600).then(|| draw_rate(luck, 1));
        let buffers = if luck.strikes(700) {
            Buffers::with_low_water_mark(draw_size(luck, 4 << 10, BUFFERS_MAX - LOW_WATER_MARK))
        } else {
            let send = draw_size(luck, 4 << 10, BUFFERS_MAX / 2);
            Buffers::without_mark(send, draw_size(luck, 4 << 10, BUFFERS_MAX / 2))
        };
        Self { buffers, rate }
    }

    /// Draws the line of a steady reader whose server sets the low-water mark: `speed` times
    /// as fast as the slowest, at least.
    pub(crate) fn draw_steady(luck: &mut Chance, speed: u32) -> Self {
        let receive = draw_size(luck, 4 << 10, BUFFERS_MAX - LOW_WATER_MARK);
        let buffers = Buffers::with_low_water_mark(receive);
        Self { buffers, rate: Some(draw_rate(luck, speed)) }
    }

    /// Returns for how long the server may be unable to write `bytes`, which it does not get
    /// rid of at once.
    pub(crate) fn pause_max(&self, bytes: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let Buffers { not_sent_max, writable_at, .. } = self.buffers;
        let bytes = bytes + (not_sent_max - writable_at) + self.buffers.update();
        time_of(bytes, rate)
    }

    /// Returns how much both buffers hold.
    pub(crate) const fn bytes(&self) -> usize {
        self.buffers.not_sent_max + self.buffers.receive
    }
}

/// Returns how long it takes to read so many bytes, at so many a second.
pub(crate) fn time_of(bytes: usize, rate: u32) -> Duration {
    Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / rate
}

impl Buffers {
    const fn with_low_water_mark(receive: usize) -> Self {
        // Linux wakes a writer when twice what is not sent is less than the mark.
        Self { not_sent_max: LOW_WATER_MARK, writable_at: LOW_WATER_MARK / 2 - 1, receive }
    }

    const fn without_mark(send: usize, receive: usize) -> Self {
        // Linux wakes a writer when a third of the buffer is free.
        Self { not_sent_max: send, writable_at: send / 3 * 2, receive }
    }

    /// Returns how much room there must be for the client's system to say so, as it does to
    /// avoid small segments (RFC 9293, section 3.8.6.2.2).
    fn update(&self) -> usize {
        SEGMENT.min(self.receive / 2).max(self.receive / 16)
    }

    /// Returns the ends of a server and of what is between it and its client; so many bytes
    /// may be on the way to the server.
    pub(crate) fn connect(self, room: usize) -> (ServerEnd, ClientEnd) {
        let (to_server, from_client) = duplex(room);
        let way = Way {
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

fn draw_rate(luck: &mut Chance, speed: u32) -> u32 {
    let (least, most) = RATE;
    let rate = draw_size(luck, to_usize(least * speed), to_usize(most));
    u32::try_from(rate).unwrap_or(most)
}

/// Draws a size, where small ones are as likely as large ones.
fn draw_size(luck: &mut Chance, least: usize, most: usize) -> usize {
    let doublings = luck.below(u64::from((most / least).max(1).ilog2()) + 1);
    luck.size(least, most.min(least << (doublings + 1)))
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The way of bytes from a server to its client.
#[derive(Debug)]
struct Way {
    buffers: Buffers,
    /// What the client has not read. The last `not_sent` bytes are in the send buffer.
    bytes: VecDeque<u8>,
    not_sent: usize,
    /// How much more the server's system may send.
    window: usize,
    /// Whether the server waits until it may write.
    is_full: bool,
    /// Whether the server sends no more.
    is_ended: bool,
    /// Whether nobody reads any more.
    is_broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    /// Takes what there is room for.
    fn write(&mut self, data: &[u8]) -> usize {
        let room = self.buffers.not_sent_max.saturating_sub(self.not_sent);
        let count = if self.is_full { 0 } else { room.min(data.len()) };
        self.is_full |= count == 0;
        self.bytes.extend(data.iter().take(count));
        self.not_sent += count;
        self.transmit();
        count
    }

    /// Hands out what has arrived, and announces how much room there is then.
    fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        let arrived = self.bytes.len() - self.not_sent;
        let count = arrived.min(buffer.remaining());
        let (front, back) = self.bytes.as_slices();
        let front = front.get(..count.min(front.len())).unwrap_or_default();
        buffer.put_slice(front);
        buffer.put_slice(back.get(..count - front.len()).unwrap_or_default());
        self.bytes.drain(..count);
        let free = self.buffers.receive.saturating_sub(arrived - count + self.window);
        if free >= self.buffers.update() {
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

    fn end(&mut self) {
        self.is_ended = true;
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

/// The end of a server.
#[derive(Debug)]
pub(crate) struct ServerEnd {
    from_client: DuplexStream,
    way: Arc<Mutex<Way>>,
}

/// The end of what is between a server and its client.
#[derive(Debug)]
pub(crate) struct ClientEnd {
    to_server: DuplexStream,
    way: Arc<Mutex<Way>>,
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

    /// As with a socket: otherwise the HTTP server would buffer differently.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.way.lock().end();
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
        self.way.lock().end();
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

    /// Writes all there is room for, and returns how much that is.
    async fn fill(server: &mut ServerEnd) -> usize {
        let mut count = 0;
        let data = vec![7; 1_000];
        while let Ok(written) = timeout(Duration::from_millis(1), server.write(&data)).await {
            count += written.unwrap();
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_waits_until_half_of_its_mark_is_sent() {
        let receive = 160 << 10;
        let (mut server, mut client) = Buffers::with_low_water_mark(receive).connect(64);
        assert_eq!(fill(&mut server).await, receive + LOW_WATER_MARK);
        let mut read = vec![0; SEGMENT - 1];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(fill(&mut server).await, 0, "there is not enough room for a segment");
        client.read_exact(&mut [0]).await.unwrap();
        assert_eq!(fill(&mut server).await, SEGMENT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_mark_a_third_of_the_send_buffer_is_free_first() {
        let (mut server, mut client) = Buffers::without_mark(3 << 20, 4 << 10).connect(64);
        assert_eq!(fill(&mut server).await, (3 << 20) + (4 << 10));
        let mut read = vec![0; (1 << 20) - (2 << 10)];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(fill(&mut server).await, 0);
        client.read_exact(&mut [0; 2 << 10]).await.unwrap();
        assert_eq!(fill(&mut server).await, 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_before_the_end_arrives_unless_the_connection_breaks() {
        let buffers = Buffers::with_low_water_mark(4 << 10);
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
