//! The stream of an HTTP/1.1 connection, with timeouts and a lingering close.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    activity::{Activity, Ending, Reading},
    transport::Transport,
};

/// How long input is discarded after the last response: in total, and since the last byte.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The same during shutdown.
const DRAINING_LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const DRAINING_LINGER_IDLE_TIMEOUT: Duration = Duration::from_millis(250);

/// Maximum number of bytes discarded.
const LINGER_BYTES_MAX: usize = 64 << 20;

/// Size of the buffer for discarded bytes.
const DISCARD_BYTES: usize = 8 << 10;

/// A stream that HTTP/1.1 is served on.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Transport,
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
    linger: Option<Linger>,
}

/// A lingering close: input is discarded before the connection is closed. Closing it with unread
/// input would reset it, and the client might lose the response that was sent before.
///
/// Specification: RFC 9112, 9.6.
#[derive(Debug)]
struct Linger {
    started_at: Instant,
    /// When the last byte was received.
    last_byte_at: Instant,
    bytes_left: usize,
}

impl Socket {
    pub(super) fn new(stream: Transport, activity: Arc<Activity>) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { stream, activity, timer, linger: None }
    }

    /// Becomes ready when the timeout of the current phase expires.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Some(deadline) = self.activity.deadline() else { return Poll::Pending };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(self.activity.on_timeout())
    }

    /// Returns whether the client has half-closed the connection. Asks the kernel, since the
    /// runtime may not know yet. With TLS only the client's `close_notify` is an end of input,
    /// which the kernel does not know.
    fn is_half_closed(&self) -> bool {
        let Transport::Tcp(stream) = &self.stream else { return false };
        let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Ok(0))
    }

    /// Discards input until the client stops sending, or a limit is reached.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| {
            let now = Instant::now();
            Linger { started_at: now, last_byte_at: now, bytes_left: LINGER_BYTES_MAX }
        });
        let mut bytes = [0; DISCARD_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let left = linger.bytes_left.checked_sub(buffer.filled().len());
                    let Some(left) = left else { return Poll::Ready(()) };
                    linger.bytes_left = left;
                    linger.last_byte_at = Instant::now();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let due = linger.deadline(self.activity.is_draining());
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}

impl Linger {
    /// Returns when it ends if no more input arrives.
    fn deadline(&self, is_draining: bool) -> Instant {
        let (time, silence) = if is_draining {
            (DRAINING_LINGER_TIMEOUT, DRAINING_LINGER_IDLE_TIMEOUT)
        } else {
            (LINGER_TIMEOUT, LINGER_IDLE_TIMEOUT)
        };
        (self.started_at + time).min(self.last_byte_at + silence)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.activity.poll_reading(cx.waker()) {
            Reading::Continue => {}
            Reading::Pause => return Poll::Pending,
            Reading::End(ending) => return Poll::Ready(ending.into()),
        }
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            result?;
            if buffer.filled().len() > before {
                this.activity.on_bytes_received();
                return Poll::Ready(Ok(()));
            }
            if !this.activity.on_half_close(false) {
                return Poll::Ready(Ok(()));
            }
        } else if this.activity.take_half_close_check() && this.is_half_closed() {
            this.activity.on_half_close(true);
        }
        Poll::Ready(ready!(this.poll_timeout(cx)).into())
    }
}

impl From<Ending> for io::Result<()> {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Close => Ok(()),
            Ending::Abort => Err(io::ErrorKind::TimedOut.into()),
        }
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
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        // hyper flushes the socket when its own write buffer is empty.
        this.activity.on_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.activity.has_unread() {
            ready!(this.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}
