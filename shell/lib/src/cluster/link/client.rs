//! The end of a link at the ingress: calls, and their replies.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use parking_lot::Mutex;
use rejoin_core::cluster::NodeId;
use serde::Serialize;
use thiserror::Error;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
    time::Instant,
};
use tracing::{debug, warn};

use super::{
    ALL_QUEUED_CALL_BYTES_MAX, CALLS_MAX, Call, Control, LinkConfig, PING_INTERVAL,
    QUEUED_CALL_BYTES_MAX, REPLY_BYTES_MAX, Reply, SILENCE_MAX,
    frame::{Frame, FrameKind},
    hello::{self, Ends, HelloError},
    outbox::{Outbox, QueuedBytes},
    reader::FrameReader,
};
use crate::cluster::ShutdownReceiver;

/// A link to an owner of sessions. A clone is the same link.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    ends: Ends,
    /// The shutdown of the ingress.
    shutdown: ShutdownReceiver,
    /// Maximum size of a call.
    call_bytes_max: usize,
    outbox: Outbox,
    /// The bytes that wait in all outboxes of this process.
    queued: QueuedBytes,
    calls: Mutex<Calls>,
    /// Notified when the owner leaves and no call is open.
    left: Notify,
}

/// The calls that are open: at most [`CALLS_MAX`].
struct Calls {
    next: u64,
    /// `None` when the link was cut.
    open: Option<HashMap<u64, mpsc::Sender<Reply>>>,
    /// Whether the owner leaves: it gets no more calls.
    is_leaving: bool,
}

/// A call that the owner has not finished.
pub(crate) struct OpenCall {
    id: u64,
    link: Link,
    replies: mpsc::Receiver<Reply>,
}

/// A call was not made: the owner has nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    #[error("the link was cut")]
    Cut,
    #[error("too many calls on the link, or too many bytes that wait to be written to it")]
    Full,
    #[error("the request is larger than what its process accepts")]
    TooLarge,
}

/// Replies that wait in a call: the owner sends at most one for each pull, and one before.
const REPLIES_MAX: usize = 4;

/// Maximum size of what an ingress says during a call.
const CONTROL_BYTES_MAX: usize = 1 << 10;

/// Connects to a process.
pub(crate) async fn connect(
    config: &LinkConfig,
    address: &str,
    (ingress, owner): (NodeId, NodeId),
    shutdown: ShutdownReceiver,
) -> Result<Link, HelloError> {
    let ends = Ends { ingress, owner };
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let secret = config.listener.secret();
    let call_bytes_max = hello::connect(&mut stream, ends, address, secret).await?;
    let queued = config.listener.queued_calls().clone();
    let inner = Inner {
        ends,
        shutdown,
        call_bytes_max: usize::try_from(call_bytes_max).unwrap_or(usize::MAX),
        outbox: Outbox::new(queued.clone()),
        queued,
        calls: Mutex::new(Calls { next: 1, open: Some(HashMap::new()), is_leaving: false }),
        left: Notify::new(),
    };
    let link = Link(Arc::new(inner));
    tokio::spawn(run(link.clone(), stream));
    Ok(link)
}

/// Runs until the link is cut, or nobody needs it.
async fn run(link: Link, stream: TcpStream) {
    let owner = link.0.ends.owner;
    debug!(%owner, "link to another process");
    let reason = link.serve(stream).await;
    if let Some(reason) = reason {
        warn!(%owner, reason, "link to another process was cut");
    }
    let open = link.0.calls.lock().open.take();
    drop(open);
    // It may stay in the table of links for long.
    link.0.outbox.close();
}

impl Link {
    /// Begins a call. After an error, the owner has nothing of it.
    pub(crate) fn call(&self, call: &Call) -> Result<OpenCall, CallError> {
        let (sender, replies) = mpsc::channel(REPLIES_MAX);
        let id = {
            let mut calls = self.0.calls.lock();
            let id = calls.next;
            if calls.is_leaving {
                return Err(CallError::Cut);
            }
            let open = calls.open.as_mut().ok_or(CallError::Cut)?;
            if open.len() >= CALLS_MAX
                || self.0.outbox.bytes() > QUEUED_CALL_BYTES_MAX
                || self.0.queued.get() > ALL_QUEUED_CALL_BYTES_MAX
            {
                return Err(CallError::Full);
            }
            open.insert(id, sender);
            calls.next += 1;
            id
        };
        let open = OpenCall { id, link: self.clone(), replies };
        let is_sent = self.send(id, FrameKind::Call, self.0.call_bytes_max, call);
        if is_sent { Ok(open) } else { Err(CallError::TooLarge) }
    }

    /// Returns whether it takes no more calls.
    pub(crate) fn is_over(&self) -> bool {
        let calls = self.0.calls.lock();
        calls.is_leaving || calls.open.is_none()
    }

    /// Returns the shutdown of the ingress, which is this process.
    pub(crate) fn shutdown(&self) -> &ShutdownReceiver {
        &self.0.shutdown
    }

    fn send(&self, call: u64, kind: FrameKind, max: usize, value: &impl Serialize) -> bool {
        self.0.outbox.push(call, kind, max, |out| super::message::write(value, out))
    }

    /// Returns the reason why the link was cut; `None` if nobody needs it any more, or the owner leaves.
    async fn serve(&self, stream: TcpStream) -> Option<String> {
        let (read, write) = stream.into_split();
        let mut reader = FrameReader::new(read, REPLY_BYTES_MAX);
        let mut writing = std::pin::pin!(self.0.outbox.write_to(write));
        let mut pings = tokio::time::interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                error = &mut writing => return Some(error.to_string()),
                frame = reader.next() => match frame {
                    Ok(frame) => if let Err(reason) = self.receive(&frame) {
                        return Some(reason);
                    },
                    Err(error) => return Some(error.to_string()),
                },
                () = self.0.left.notified() => return None,
                _ = pings.tick() => {
                    // This task has one, and the table of links another one.
                    if Arc::strong_count(&self.0) == 1 {
                        return None;
                    }
                    if Instant::now().duration_since(reader.received_at()) > SILENCE_MAX {
                        return Some("nothing was received for too long".to_owned());
                    }
                    self.0.outbox.push(0, FrameKind::Ping, 0, |_| {});
                }
            }
        }
    }

    fn receive(&self, frame: &Frame) -> Result<(), String> {
        match frame.kind {
            FrameKind::Reply => {
                let reply: Reply =
                    super::message::read(&frame.payload).map_err(|error| error.to_string())?;
                let mut calls = self.0.calls.lock();
                let Some(open) = calls.open.as_mut() else { return Ok(()) };
                let is_last = reply.is_last();
                // The call may have been dropped.
                let Some(call) = open.get_mut(&frame.call) else { return Ok(()) };
                let sent = call.try_send(reply);
                if is_last {
                    open.remove(&frame.call);
                    self.note_left(&calls);
                }
                match sent {
                    Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        Err("replies that nobody asked for".to_owned())
                    }
                }
            }
            FrameKind::Pong => Ok(()),
            FrameKind::Leave => {
                let mut calls = self.0.calls.lock();
                calls.is_leaving = true;
                self.note_left(&calls);
                Ok(())
            }
            FrameKind::Call | FrameKind::Control | FrameKind::Ping => {
                Err("a frame that only an ingress sends".to_owned())
            }
        }
    }
}

impl Link {
    fn note_left(&self, calls: &Calls) {
        if calls.is_leaving && calls.open.as_ref().is_some_and(HashMap::is_empty) {
            self.0.left.notify_one();
        }
    }
}

impl OpenCall {
    /// Returns the next reply; `None` if the link was cut.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        self.replies.recv().await
    }

    /// Same as [`reply`](Self::reply).
    pub(crate) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        self.replies.poll_recv(cx)
    }

    /// See [`Link::shutdown`].
    pub(crate) fn shutdown(&self) -> &ShutdownReceiver {
        self.link.shutdown()
    }

    pub(crate) fn say(&self, control: Control) {
        self.link.send(self.id, FrameKind::Control, CONTROL_BYTES_MAX, &control);
    }
}

#[cfg(test)]
impl OpenCall {
    /// Returns a call of an ingress that has ended, on a link that nobody reads. Its replies come from
    /// the sender.
    pub(crate) fn unread() -> (Self, mpsc::Sender<Reply>) {
        let queued = QueuedBytes::default();
        let inner = Inner {
            ends: Ends { ingress: NodeId(1), owner: NodeId(2) },
            shutdown: ShutdownReceiver::closed(),
            call_bytes_max: 0,
            outbox: Outbox::new(queued.clone()),
            queued,
            calls: Mutex::new(Calls { next: 2, open: Some(HashMap::new()), is_leaving: false }),
            left: Notify::new(),
        };
        let (sender, replies) = mpsc::channel(REPLIES_MAX);
        (Self { id: 1, link: Link(Arc::new(inner)), replies }, sender)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let sender = {
            let mut calls = self.link.0.calls.lock();
            let sender = calls.open.as_mut().and_then(|open| open.remove(&self.id));
            self.link.note_left(&calls);
            sender
        };
        if sender.is_some() {
            self.say(Control::Drop);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.ends).finish()
    }
}

impl fmt::Debug for OpenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenCall")
            .field("id", &self.id)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}
