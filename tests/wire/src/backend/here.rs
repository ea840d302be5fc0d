//! Backends in this process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin::{Backend, Inbox, OpenError, Peer, SendError};
use rejoin_core::RequestId;

use super::speaker::{Heard, Mouth, Speaker};
use crate::knobs::{Kind, Knobs};

/// Opens a backend for each session, with or without a task.
pub(crate) struct Backends {
    knobs: Arc<Knobs>,
    opened: AtomicU64,
    heard: HeardBy,
    /// Whether nothing goes wrong any more.
    is_calm: Arc<AtomicBool>,
}

/// What the backend of each session heard, by the first half of its id.
#[derive(Clone, Default)]
pub(crate) struct HeardBy(Arc<Mutex<BTreeMap<String, Ask>>>);

/// Asks a backend what it heard.
type Ask = Box<dyn Fn() -> Vec<Heard> + Send>;

impl fmt::Debug for HeardBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeardBy").finish_non_exhaustive()
    }
}

impl HeardBy {
    /// Returns what the backend of a session heard.
    pub(crate) fn of(&self, session: &str) -> Option<Vec<Heard>> {
        self.0.lock().get(session).map(|heard| heard())
    }
}

impl Backends {
    pub(crate) fn new(knobs: Arc<Knobs>, is_calm: Arc<AtomicBool>) -> Self {
        Self { knobs, opened: AtomicU64::new(0), heard: HeardBy::default(), is_calm }
    }

    pub(crate) fn heard(&self) -> HeardBy {
        self.heard.clone()
    }
}

impl Backend for Backends {
    async fn open(&self, peer: Peer, mut inbox: Inbox) -> Result<(), OpenError> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let is_quick = self.knobs.kind == Kind::Handler;
        let session = peer.session_id().short().to_string();
        let mut speaker =
            Speaker::new(peer, Arc::clone(&self.knobs), nth, is_quick, Arc::clone(&self.is_calm));
        self.heard.0.lock().insert(session, Box::new(speaker.heard()));
        if is_quick {
            // Whoever cannot be read here is found out by what was heard.
            inbox.handle(move |message| drop(speaker.hear(&message)));
            return Ok(());
        }
        let died = speaker.died();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = died.notified() => return,
                    message = inbox.recv() => {
                        let Some(message) = message else { return };
                        if speaker.hear(&message).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

impl Mouth for Peer {
    async fn say(&self, text: String, related: Option<RequestId>) -> bool {
        is_there(&self.send(text, related).await)
    }

    fn say_now(&self, text: String, related: Option<RequestId>) -> bool {
        is_there(&self.send_now(text, related))
    }

    fn close_stream(&self, request: &RequestId, retry: Duration) {
        // An error says that the client could not come back, or need not.
        let _ = Peer::close_stream(self, request, Some(retry));
    }
}

fn is_there(said: &Result<(), SendError>) -> bool {
    *said != Err(SendError::Ended)
}
