//! Backends in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin::{Backend, ClientMessages, ClientSender, OpenError, SendError, SessionId};
use rejoin_core::RequestId;

use super::received::ReceivedBySession;
use super::scripted::{BackendContext, MessageSink, ScriptedBackend};
use crate::deliberate_bugs::BuggyDelivery;
use crate::parameters::BackendKind;

/// Opens a scripted backend for each session, as a task or as a handler.
#[derive(Debug)]
pub(crate) struct Backends {
    context: BackendContext,
    opened: AtomicU64,
    record: Arc<Mutex<Opened>>,
    delivery: BuggyDelivery,
}

/// The backends that were opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) received: ReceivedBySession,
}

impl Backends {
    pub(crate) fn new(context: BackendContext) -> Self {
        let delivery = BuggyDelivery::new(context.parameters.base.bug);
        Self { context, opened: AtomicU64::new(0), record: Arc::default(), delivery }
    }

    /// Returns the record of all backends.
    pub(crate) fn record(&self) -> Arc<Mutex<Opened>> {
        Arc::clone(&self.record)
    }
}

impl Backend for Backends {
    async fn open(
        &self,
        client: ClientSender,
        mut messages: ClientMessages,
    ) -> Result<(), OpenError> {
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let is_handler = self.context.parameters.backend == BackendKind::Handler;
        let session = client.session_id();
        let mut backend = ScriptedBackend::new(client, self.context.clone(), nth, is_handler);
        {
            let mut record = self.record.lock();
            record.sessions.push(session);
            record.received.insert(session.short().to_string(), backend.received());
        }
        let delivery = self.delivery.clone();
        if is_handler {
            messages.handle(move |message| {
                if let Some(message) = delivery.pass(message.into_bytes()) {
                    // An invalid message is recorded by the backend.
                    let _ = backend.receive(&message);
                }
            });
            return Ok(());
        }
        let exited = backend.exited();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = exited.notified() => return,
                    message = messages.recv() => {
                        let Some(message) = message else { return };
                        if let Some(message) = delivery.pass(message.into_bytes()) {
                            // An invalid message is recorded by the backend.
                            let _ = backend.receive(&message);
                        }
                        if delivery.drops_backend() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

impl MessageSink for ClientSender {
    async fn write(&self, text: String, related: Option<RequestId>) -> bool {
        self.send(text, related).await != Err(SendError::Ended)
    }

    fn write_now(&self, text: String, related: Option<RequestId>) -> bool {
        self.send(text, related).result() != Err(&SendError::Ended)
    }

    fn disconnect(&self, request: &RequestId, retry: Duration) -> bool {
        // An error means that the client could not resume, or need not.
        ClientSender::disconnect(self, request, Some(retry)).is_ok()
    }
}
