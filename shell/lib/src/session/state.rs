//! The state behind the lock of a session, and inputs to its core.

use std::{cell::OnceCell, sync::Arc};

#[cfg(feature = "store")]
use rejoin_core::Initialized;
use rejoin_core::{
    Actions, ConnectionId, EventId, Input, Instant, Rejected, Rejection, Session, StreamId,
};

#[cfg(feature = "store")]
use super::commits::Commits;
use super::{
    after_unlock::AfterUnlock,
    buffers::ConnectionBuffers,
    client_messages::{QueueFull, QueuePermits},
    close::BackendExit,
    inner::SessionInner,
    kept::KeptLimit,
    observed::ObservedRequests,
    request_timeouts::RequestTimeouts,
    shared::KeptShare,
    unused::UnusedSession,
    watch_queue::Watchers,
};
#[cfg(feature = "journal")]
use crate::journal::Recorder;
use crate::{
    observer::{SessionEvent, SessionOpened},
    owner::OwnerPermits,
    payload::Payload,
    sync::oneshot,
};

/// The core, and what its actions change.
#[derive(Debug)]
pub(super) struct SessionState<P: Payload> {
    pub(super) core: Session<P::Client, P::Server>,
    /// One for each connection with an HTTP body: at most `connections_max`, as many reserved
    /// ones, and those that the core has cut and whose body was not polled since.
    pub(super) buffers: ConnectionBuffers<P::Server>,
    /// Senders that are held, with the stream that holds them.
    pub(super) held_senders: Vec<(StreamId, oneshot::Sender<()>)>,
    pub(super) next_connection_id: u64,
    /// `None` before the first request that has a timeout.
    pub(super) request_timeouts: Option<Box<RequestTimeouts>>,
    /// The deadline at which the deadline queue will wake this session.
    pub(super) scheduled: Option<Instant>,
    /// Name and version of the client, until the session is opened.
    pub(super) client: Option<Box<str>>,
    /// The process that serves the session, if there is one.
    pub(super) process: Option<i32>,
    /// Whether the session was initialized.
    pub(super) is_opened: bool,
    /// Number of progress notifications that were dropped for an unknown token.
    pub(super) progress_dropped: u32,
    /// `None` once the client has used the session.
    pub(super) unused: Option<UnusedSession>,
    /// Set when the backend has ended, while its messages are still being sent.
    pub(super) backend_exit: Option<Box<BackendExit>>,
    /// `None` without an observer.
    pub(super) observed: Option<Box<ObservedRequests>>,
    pub(super) created_at: Instant,
    pub(super) kept: KeptShare,
    pub(super) kept_limit: KeptLimit,
    /// Counts the session for its owner.
    pub(super) owner_permits: OwnerPermits,
    /// `None` while nobody watches the session.
    pub(super) watchers: Option<Box<Watchers>>,
    /// Set while a new backend is initialized in place of a lost one.
    #[cfg(feature = "store")]
    pub(super) handshake: Option<oneshot::Sender<Option<Initialized>>>,
    /// `None` without a store.
    #[cfg(feature = "store")]
    pub(super) commits: Option<Box<Commits>>,
    #[cfg(feature = "journal")]
    pub(super) recorder: Option<Recorder>,
    /// Makes the next use of the core panic, as a bug in it would.
    #[cfg(all(test, not(shuttle)))]
    pub(super) panics: bool,
}

/// An input that the core rejected, with the reason.
type RejectedInput<P> = Box<Rejected<<P as Payload>::Client, <P as Payload>::Server>>;

/// A session while its lock is held.
#[derive(Debug)]
pub(super) struct LockedSession<'a, P: Payload> {
    pub(super) session: &'a Arc<SessionInner<P>>,
    pub(super) state: &'a mut SessionState<P>,
    pub(super) after_unlock: AfterUnlock,
    now: OnceCell<Instant>,
}

impl<P: Payload> SessionState<P> {
    pub(super) fn new(
        core: Session<P::Client, P::Server>,
        kept: KeptShare,
        created_at: Instant,
    ) -> Self {
        Self {
            core,
            buffers: ConnectionBuffers::default(),
            held_senders: Vec::new(),
            next_connection_id: 0,
            request_timeouts: None,
            scheduled: None,
            client: None,
            process: None,
            is_opened: false,
            progress_dropped: 0,
            unused: None,
            backend_exit: None,
            observed: None,
            created_at,
            kept,
            kept_limit: KeptLimit::None,
            owner_permits: OwnerPermits::default(),
            watchers: None,
            #[cfg(feature = "store")]
            handshake: None,
            #[cfg(feature = "store")]
            commits: None,
            #[cfg(feature = "journal")]
            recorder: None,
            #[cfg(all(test, not(shuttle)))]
            panics: false,
        }
    }

    /// Returns the id of the next connection.
    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection_id)
    }

    /// Adds the next connection, with an empty buffer.
    pub(super) fn add_connection(&mut self) -> ConnectionId {
        let connection = self.next_connection();
        self.next_connection_id = self.next_connection_id.saturating_add(1);
        self.buffers.insert(connection);
        connection
    }
}

impl<'a, P: Payload> LockedSession<'a, P> {
    pub(super) fn new(session: &'a Arc<SessionInner<P>>, state: &'a mut SessionState<P>) -> Self {
        Self { session, state, after_unlock: AfterUnlock::default(), now: OnceCell::new() }
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Returns the time, which is the same until the lock is released.
    pub(super) fn now(&self) -> Instant {
        *self.now.get_or_init(|| self.session.shared.clock.now())
    }

    /// Handles an input that forwards no message, and ignores a rejection: it means that the input
    /// comes too late.
    pub(super) fn apply(&mut self, input: Input<P::Client, P::Server>) {
        let _ = self.handle(input, None);
    }

    /// Handles an input, and carries out its actions. `permits` are for messages that it forwards.
    pub(super) fn handle(
        &mut self,
        input: Input<P::Client, P::Server>,
        permits: Option<&mut QueuePermits<'_>>,
    ) -> Result<(), Rejection> {
        let (result, _) = self.handle_rejectable(input, permits);
        result.map_err(|rejected| rejected.reason)
    }

    /// Handles an input, which is returned if it is rejected. Also returns the stream for whose
    /// release the sender of the message must wait, if it must.
    pub(super) fn handle_rejectable(
        &mut self,
        input: Input<P::Client, P::Server>,
        permits: Option<&mut QueuePermits<'_>>,
    ) -> (Result<(), RejectedInput<P>>, Option<StreamId>) {
        let now = self.now();
        #[cfg(feature = "journal")]
        if let Some(recorder) = &mut self.state.recorder
            && self.state.core.close_reason().is_none()
        {
            recorder.record(now, &input);
        }
        let watched = self.begin_watched_step(now, &input);
        let mut actions = Actions::new();
        let result = self.core().handle(now, input, &mut actions);
        if let Some(step) = watched {
            let rejection = result.as_ref().err().map(|rejected| rejected.reason.clone());
            self.end_watched_step(step, rejection, &actions);
        }
        // Also if the input was rejected: timers that were due have fired.
        let held_by = self.carry_out(&mut actions, permits);
        self.note_opened();
        (result, held_by)
    }

    /// Returns the core.
    pub(super) fn core(&mut self) -> &mut Session<P::Client, P::Server> {
        #[cfg(all(test, not(shuttle)))]
        assert!(!std::mem::take(&mut self.state.panics), "a bug in the core");
        &mut self.state.core
    }

    /// Queues a message of the session itself for the backend.
    pub(super) fn send_to_backend(&mut self, message: P::Client) {
        self.after_unlock.run_handler = true;
        match self.session.queue.push_session_message(message) {
            Ok(waker) => self.after_unlock.wake(waker),
            Err(QueueFull) => self.after_unlock.backend_not_reading = true,
        }
    }

    /// Schedules the next deadline of this session. A wake-up that is too early is harmless.
    pub(super) fn schedule(&mut self) {
        let state = &mut *self.state;
        let scheduled = state.scheduled.unwrap_or(Instant::MAX);
        let core = state.core.deadline_before(scheduled);
        let request = state.request_timeouts.as_ref().and_then(|timeouts| timeouts.deadline());
        let unused = state.unused.as_ref().map(|unused| unused.deadline);
        let deadline = [core, request, unused].into_iter().flatten().min();
        if let Some(deadline) = deadline.filter(|deadline| *deadline < scheduled) {
            let session = Arc::downgrade(self.session);
            let deadlines = &self.session.shared.deadlines;
            deadlines.schedule(self.session.id(), state.scheduled, deadline, session);
            state.scheduled = Some(deadline);
        }
    }

    /// Notes that a client resumed after `id`.
    pub(super) fn note_resumed(&mut self, connection: ConnectionId, id: EventId) {
        let (stream, after) = (id.stream, id.index);
        let log = self.state.core.log(stream);
        let replayed = log.map_or(0, |log| log.range(after.saturating_add(1)..u64::MAX).count());
        let event = SessionEvent::Resumed { connection, stream, after, replayed };
        self.after_unlock.events.push(event);
    }

    /// Notes the beginning of the session once it is initialized.
    fn note_opened(&mut self) {
        let state = &mut *self.state;
        if !state.is_opened
            && let Some(initialized) = state.core.initialized()
        {
            state.is_opened = true;
            let (client, process) = (state.client.take(), state.process);
            if let Some(observed) = &mut state.observed {
                observed.client.clone_from(&client);
            }
            let opened = SessionOpened { client, revision: initialized.version, process };
            self.after_unlock.events.push(SessionEvent::Opened(opened));
            self.observe_initialized();
            #[cfg(feature = "store")]
            self.begin_tenure();
        }
    }
}
