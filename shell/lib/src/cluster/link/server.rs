//! The end of a link at the owner: calls that others pass on, each in a task.

use std::{collections::HashMap, fmt, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures_util::FutureExt as _;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tracing::error;

use super::{
    CALLS_MAX, Call, Control, PING_INTERVAL, REPLY_BYTES_MAX, Reply, SILENCE_MAX,
    frame::{Frame, FrameKind},
    message,
    outbox::{Outbox, QueuedBytes},
    reader::FrameReader,
};

/// What does the calls.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Does a call. Dropped when the link is cut.
    fn serve(&self, call: Call, replies: Replies) -> ServeFuture;

    /// Returns whether there are no sessions any more, now or later.
    fn is_over(&self) -> bool;
}

pub(crate) type ServeFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the replies of a call go, and what its ingress says meanwhile.
pub(crate) struct Replies {
    call: u64,
    outbox: Arc<Outbox>,
    controls: mpsc::Receiver<Control>,
}

/// The link of one ingress.
struct Served {
    service: Arc<dyn Serve>,
    outbox: Arc<Outbox>,
    /// The calls that are open: at most [`CALLS_MAX`].
    open: HashMap<u64, mpsc::Sender<Control>>,
    tasks: JoinSet<u64>,
}

/// What an ingress may say before a call has handled it.
const CONTROLS_MAX: usize = 16;

/// How many of these are for what it says at most once at a time: to pull, to expire, and to drop.
const CONTROLS_RESERVED: usize = 4;

/// Serves a link until it is cut, and returns why. When the process leaves, the ingress is told, and cuts
/// the link once it has everything.
pub(super) async fn serve(
    stream: TcpStream,
    service: Arc<dyn Serve>,
    call_bytes_max: usize,
    mut leaving: watch::Receiver<bool>,
) -> String {
    let (read, write) = stream.into_split();
    let mut reader = FrameReader::new(read, call_bytes_max);
    let outbox = Arc::new(Outbox::new(QueuedBytes::default()));
    let writer = Arc::clone(&outbox);
    let mut writing = std::pin::pin!(writer.write_to(write));
    let mut served = Served { service, outbox, open: HashMap::new(), tasks: JoinSet::new() };
    let mut checks = tokio::time::interval(PING_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_told = false;
    loop {
        let has_room = served.outbox.has_room_for_unread();
        tokio::select! {
            biased;
            error = &mut writing => return error.to_string(),
            Some(ended) = served.tasks.join_next() => {
                let Ok(call) = ended else { return "a task has ended".to_owned() };
                served.open.remove(&call);
            }
            left = leaving.wait_for(|is_leaving| *is_leaving), if !is_told => {
                if left.is_err() {
                    return "its sessions have ended".to_owned();
                }
                is_told = true;
                writer.push(0, FrameKind::Leave, 0, |_| {});
            }
            frame = reader.next(), if has_room => match frame {
                Ok(frame) => if let Err(reason) = served.receive(&frame) {
                    return reason;
                },
                Err(error) => return error.to_string(),
            },
            () = writer.room_for_unread(), if !has_room => {}
            _ = checks.tick() => {
                if served.service.is_over() {
                    return "its sessions have ended".to_owned();
                }
                // Its pings may wait behind large calls for longer than it waits for a sign of life.
                writer.push(0, FrameKind::Pong, 0, |_| {});
                let heard_at = if has_room {
                    reader.received_at()
                } else {
                    writer.written_at()
                };
                if Instant::now().duration_since(heard_at) > SILENCE_MAX {
                    return "nothing was received for too long".to_owned();
                }
            }
        }
    }
}

impl Served {
    fn receive(&mut self, frame: &Frame) -> Result<(), String> {
        match frame.kind {
            FrameKind::Call => {
                let call = message::read(&frame.payload).map_err(|error| error.to_string())?;
                self.begin(frame.call, call)
            }
            FrameKind::Control => {
                let control = message::read(&frame.payload).map_err(|error| error.to_string())?;
                // It may be over.
                let Some(open) = self.open.get(&frame.call) else { return Ok(()) };
                if matches!(control, Control::Disconnect { .. })
                    && open.capacity() <= CONTROLS_RESERVED
                {
                    // Those before it do the same.
                    return Ok(());
                }
                match open.try_send(control) {
                    Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        Err("too many controls of one call".to_owned())
                    }
                }
            }
            FrameKind::Ping => {
                self.outbox.push(0, FrameKind::Pong, 0, |_| {});
                Ok(())
            }
            FrameKind::Reply | FrameKind::Pong | FrameKind::Leave => {
                Err("a frame that only an owner sends".to_owned())
            }
        }
    }

    fn begin(&mut self, id: u64, call: Call) -> Result<(), String> {
        if self.open.contains_key(&id) {
            return Err("a call that is open already".to_owned());
        }
        if self.open.len() >= CALLS_MAX {
            // The ingress counts those that it has dropped no more.
            send(&self.outbox, id, &Reply::full());
            return Ok(());
        }
        let (sender, controls) = mpsc::channel(CONTROLS_MAX);
        self.open.insert(id, sender);
        let replies = Replies { call: id, outbox: Arc::clone(&self.outbox), controls };
        let serving = AssertUnwindSafe(self.service.serve(call, replies));
        let outbox = Arc::clone(&self.outbox);
        self.tasks.spawn(async move {
            if serving.catch_unwind().await.is_err() {
                error!("a call has panicked");
                send(&outbox, id, &Reply::failed());
            }
            id
        });
        Ok(())
    }
}

fn send(outbox: &Outbox, call: u64, reply: &Reply) {
    let write = |out: &mut Vec<u8>| message::write(reply, out);
    let is_sent = outbox.push(call, FrameKind::Reply, REPLY_BYTES_MAX, write);
    debug_assert!(is_sent, "replies are bounded");
}

impl Replies {
    /// Sends a reply.
    pub(crate) fn send(&self, reply: &Reply) {
        send(&self.outbox, self.call, reply);
    }

    /// Waits until the link has room for events, and returns what is then to be asked before each that
    /// is taken.
    pub(crate) fn room(&self) -> Room {
        Room(Arc::clone(&self.outbox))
    }

    /// Returns what the ingress says next; `None` if the link is cut.
    pub(crate) async fn control(&mut self) -> Option<Control> {
        self.controls.recv().await
    }
}

/// Room for replies on a link.
#[derive(Debug)]
pub(crate) struct Room(Arc<Outbox>);

impl Room {
    /// Waits until there is some.
    pub(crate) async fn wait(&self) {
        self.0.room_for_replies().await;
    }

    pub(crate) fn is_left(&self) -> bool {
        self.0.has_room_for_replies()
    }
}

#[cfg(test)]
impl Replies {
    /// Returns the replies of a call on a link, and where its ingress says something.
    pub(crate) fn on(room: &Room) -> (Self, mpsc::Sender<Control>) {
        let (sender, controls) = mpsc::channel(CONTROLS_MAX);
        (Self { call: 1, outbox: Arc::clone(&room.0), controls }, sender)
    }
}

#[cfg(test)]
impl Room {
    /// Returns the room of a link that nobody reads.
    pub(crate) fn unread() -> Self {
        Self(Arc::new(Outbox::new(QueuedBytes::default())))
    }

    /// Returns the number of bytes that wait to be read.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("call", &self.call).finish_non_exhaustive()
    }
}
