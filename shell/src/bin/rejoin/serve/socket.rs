//! A TCP connection with timeouts, whose end does not take the last answer along.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::activity::{Activity, Expired};

/// How long what a client still sends is discarded after the last answer, in all, and
/// without a byte of it.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// How much of it is discarded, in bytes.
const LINGER_BYTES_MAX: usize = 64 << 20;

/// How much is discarded at once, in bytes.
const DISCARD_BYTES: usize = 8 << 10;

/// A TCP connection, as HTTP is served on it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
    lingering: Option<Lingering>,
}

/// What a client still sends is discarded, since a connection that is closed over unread
/// bytes is reset, and the client may never see the answer that was sent before.
///
/// Specification: RFC 9112, 9.6.
#[derive(Debug)]
struct Lingering {
    until: Instant,
    bytes_left: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { stream, activity, timer, lingering: None }
    }

    /// Is ready when the client has done nothing for too long.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let Some(deadline) = self.activity.deadline(cx.waker()) else { return Poll::Pending };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(self.activity.expire())
    }

    /// Discards what comes, until the client is silent or enough was discarded.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let lingering = self.lingering.get_or_insert_with(|| {
            self.timer.as_mut().reset(now + LINGER_SILENCE);
            Lingering { until: now + LINGER_TIME, bytes_left: LINGER_BYTES_MAX }
        });
        let mut bytes = [0; DISCARD_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let left = lingering.bytes_left.checked_sub(buffer.filled().len());
                    let Some(left) = left else { return Poll::Ready(()) };
                    lingering.bytes_left = left;
                    let silent = Instant::now() + LINGER_SILENCE;
                    self.timer.as_mut().reset(silent.min(lingering.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            result?;
            if buffer.filled().len() > before {
                this.activity.bytes_came();
                return Poll::Ready(Ok(()));
            }
            if !this.activity.half_close() {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(match ready!(this.poll_timeout(cx)) {
            Expired::Quietly => Ok(()),
            Expired::InRequest => Err(io::ErrorKind::TimedOut.into()),
        })
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.activity.has_unread() {
            ready!(this.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}
