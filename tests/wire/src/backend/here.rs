//! Backends in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin::{Backend, ClientMessages, ClientSender, OpenError, SendError, SessionId};
use rejoin_core::RequestId;

use super::heard::HeardBy;
use super::speaker::{Mouth, Scene, Speaker};
use crate::knobs::Kind;
use crate::sabotage::Delivery;

/// Opens a backend for each session, with or without a task.
#[derive(Debug)]
pub(crate) struct Backends {
    scene: Scene,
    opened: AtomicU64,
    record: Arc<Mutex<Opened>>,
    delivery: Delivery,
}

/// Every backend that was opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) heard: HeardBy,
}

impl Backends {
    pub(crate) fn new(scene: Scene) -> Self {
        let delivery = Delivery::new(scene.knobs.sabotage);
        Self { scene, opened: AtomicU64::new(0), record: Arc::default(), delivery }
    }

    /// Returns where every backend is noted.
    pub(crate) fn record(&self) -> Arc<Mutex<Opened>> {
        Arc::clone(&self.record)
    }
}

impl Backend for Backends {
    async fn open(&self, peer: ClientSender, mut inbox: ClientMessages) -> Result<(), OpenError> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let is_quick = self.scene.knobs.kind == Kind::Handler;
        let session = peer.session_id();
        let mut speaker = Speaker::new(peer, self.scene.clone(), nth, is_quick);
        {
            let mut record = self.record.lock();
            record.sessions.push(session);
            record.heard.insert(session.short().to_string(), speaker.hearing());
        }
        let delivery = self.delivery.clone();
        if is_quick {
            inbox.handle(move |message| {
                if let Some(message) = delivery.pass(message) {
                    // What cannot be read is kept with what was heard.
                    let _ = speaker.hear(&message);
                }
            });
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
                        if let Some(message) = delivery.pass(message) {
                            // Likewise.
                            let _ = speaker.hear(&message);
                        }
                        if delivery.buries() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

impl Mouth for ClientSender {
    async fn say(&self, text: String, related: Option<RequestId>) -> bool {
        is_there(&self.send(text, related).await)
    }

    fn say_now(&self, text: String, related: Option<RequestId>) -> bool {
        is_there(&self.send_now(text, related))
    }

    fn close_stream(&self, request: &RequestId, retry: Duration) -> bool {
        // An error says that the client could not come back, or need not.
        ClientSender::disconnect(self, request, Some(retry)).is_ok()
    }
}

fn is_there(said: &Result<(), SendError>) -> bool {
    *said != Err(SendError::Ended)
}
