//! A session behind its lock: the only place that locks it, and where panics of the core end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rejoin_core::{ConnectionId, Input, Instant, Overflow, Rejection, Session, SessionCloseReason};

use super::{
    backend_message::{BackendMessage, Recorded},
    client_messages::{BackendQueue, ClientMessages},
    connection::Connection,
    shared::{KeptShare, Shared},
    state::{LockedSession, SessionState},
    stats::SessionStats,
};
use crate::{Principal, SessionId, log, payload::Payload, permits::WeakPermit, sync::Mutex};

/// A session, with all that its actions need.
#[derive(Debug)]
pub(crate) struct SessionInner<P: Payload> {
    id: SessionId,
    /// To whom it belongs.
    principal: Option<Principal>,
    pub(super) shared: Arc<Shared<P>>,
    pub(super) queue: BackendQueue<P>,
    /// Bytes of client messages that the backend has not received yet.
    #[cfg(feature = "http")]
    request_memory: Arc<crate::byte_counter::ByteCounter>,
    state: Mutex<SessionState<P>>,
}

/// The result of every operation on a session that has panicked.
pub(super) const PANICKED: Rejection = Rejection::Closed(SessionCloseReason::InternalError);

impl<P: Payload> SessionInner<P> {
    /// Creates a session, and the messages for its backend.
    pub(crate) fn create(
        id: SessionId,
        core: Session<P::Client, P::Server>,
        shared: Arc<Shared<P>>,
        permit: WeakPermit,
        principal: Option<Principal>,
    ) -> (Arc<Self>, ClientMessages<P>) {
        let config = core.config();
        // The most that can be due at a time, so that only a backend that does not read its
        // messages exceeds it.
        let session_messages_max =
            config.server_requests_max.saturating_add(config.pending_requests_max);
        let queue = BackendQueue::new(shared.config.queue_max, session_messages_max);
        let kept = KeptShare::new(Arc::clone(&shared.kept_memory));
        #[cfg(feature = "journal")]
        let recorder = {
            let now = shared.clock.now();
            shared.journal.as_ref().map(|journal| journal.recorder(id, config, now))
        };
        let observed = shared.observers.is_some().then(Box::default);
        let state = SessionState {
            observed,
            #[cfg(feature = "store")]
            commits: shared.store.is_some().then(Box::default),
            #[cfg(feature = "journal")]
            recorder,
            ..SessionState::new(core, kept, shared.clock.now())
        };
        let session = Arc::new(Self {
            id,
            principal,
            shared,
            queue,
            #[cfg(feature = "http")]
            request_memory: Arc::default(),
            state: Mutex::new(state),
        });
        let messages = session.queue.messages(Arc::downgrade(&session), permit);
        // Schedules the first deadline.
        session.with_lock((), |_| ());
        (session, messages)
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    #[cfg(feature = "http")]
    pub(crate) fn request_memory(&self) -> &Arc<crate::byte_counter::ByteCounter> {
        &self.request_memory
    }

    pub(crate) fn batch_max(&self) -> usize {
        self.shared.session_config.batch_max
    }

    /// Returns the maximum nesting depth of the JSON of a message.
    pub(crate) fn json_depth_max(&self) -> usize {
        self.shared.config.json_depth_max
    }

    #[cfg(feature = "store")]
    pub(crate) fn sessions_max(&self) -> usize {
        self.shared.config.sessions_max
    }

    /// Handles an input that forwards no message.
    pub(crate) fn input(
        self: &Arc<Self>,
        input: Input<P::Client, P::Server>,
    ) -> Result<(), Rejection> {
        self.with_lock(Err(PANICKED), |locked| locked.handle(input, None))
    }

    /// Opens a connection by an input of the client. Its buffer is added first, for events that
    /// are sent at once.
    pub(super) fn connect(
        self: &Arc<Self>,
        open: impl FnOnce(&mut LockedSession<'_, P>, ConnectionId) -> Result<(), Rejection>,
    ) -> Result<Connection<P>, Rejection> {
        let connection = self.with_lock(Err(PANICKED), |locked| {
            let connection = locked.state.add_connection();
            let opened = open(locked, connection);
            if opened.is_err() {
                locked.state.buffers.remove(connection);
            }
            opened.map(|()| connection)
        })?;
        Ok(Connection::new(Arc::clone(self), connection))
    }

    /// Records a message of the backend, unless it is rejected or there is no room for it.
    pub(super) fn record(
        self: &Arc<Self>,
        message: BackendMessage<P>,
        overflow: Overflow,
    ) -> Result<Recorded<P>, Rejection> {
        let fault = self.shared.observers.is_some().then(|| P::response_fault(&message.message));
        self.with_lock(Err(PANICKED), |locked| {
            locked.note_response(&message.message.head, fault.flatten());
            locked.record(message, overflow)
        })
    }

    /// Queues a message of the session itself for the backend.
    #[cfg(feature = "stdio")]
    pub(crate) fn send_to_backend(self: &Arc<Self>, message: P::Client) {
        self.with_lock((), |locked| locked.send_to_backend(message));
    }

    /// Sets the process that serves the session, for the log.
    #[cfg(feature = "stdio")]
    pub(crate) fn set_process(self: &Arc<Self>, process: i32) {
        self.with_lock((), |locked| locked.state.process = Some(process));
    }

    /// Handles a deadline: the deadline queue has removed the entry for `due`.
    pub(crate) fn on_deadline(self: &Arc<Self>, due: Instant) {
        self.with_lock((), |locked| {
            locked.state.scheduled.take_if(|scheduled| *scheduled == due);
            locked.apply(Input::Tick);
            locked.time_out_requests();
            locked.close_if_unused_for_too_long();
        });
    }

    /// Reads the core.
    pub(crate) fn inspect<R: Default>(
        self: &Arc<Self>,
        read: impl FnOnce(&Session<P::Client, P::Server>) -> R,
    ) -> R {
        self.with_lock(R::default(), |locked| read(locked.core()))
    }

    /// Returns what an operator wants to know; `None` if the session is closed.
    pub(super) fn stats(self: &Arc<Self>) -> Option<SessionStats> {
        self.with_lock(None, |locked| {
            let state = &*locked.state;
            let core = &state.core;
            core.close_reason().is_none().then(|| SessionStats {
                age: locked.now().since(state.created_at),
                client: state.observed.as_ref().and_then(|observed| observed.client.clone()),
                revision: core.initialized().and_then(|initialized| initialized.version),
                process: state.process,
                pending_requests: core.pending_requests(),
                connections: core.connections().count(),
                kept_bytes: core.kept_bytes(),
            })
        })
    }

    /// Calls `f` under the lock, updates the deadline queue, and then does without the lock what
    /// must not be done under it.
    ///
    /// A panic of the core leaves its state inconsistent. The session is then closed, and
    /// `on_panic` is returned.
    pub(super) fn with_lock<R>(
        self: &Arc<Self>,
        on_panic: R,
        f: impl FnOnce(&mut LockedSession<'_, P>) -> R,
    ) -> R {
        let (result, after_unlock) = {
            let mut state = self.state.lock();
            let mut locked = LockedSession::new(self, &mut state);
            let run = || {
                let result = f(&mut locked);
                locked.close_after_backend();
                #[cfg(feature = "store")]
                locked.note_records();
                locked.count_kept();
                locked.schedule();
                result
            };
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                log::panicked(self.id);
                locked.close_panicked();
                locked.count_kept();
                on_panic
            });
            (result, locked.after_unlock)
        };
        after_unlock.run(self);
        result
    }
}
