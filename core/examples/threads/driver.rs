//! The driver: reports inputs to a session, and carries out its actions.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use parking_lot::{Condvar, Mutex};
use rejoin_core::{
    Action, Actions, AnswerFormat, CloseReason, ConnectionId, EndReason, Event, EventId, Input,
    Post, Rejection, Report, RequestId, Session, StreamId, UnansweredReason, ValidConfig,
};

use crate::{
    connection::Connection,
    payload::{Body, Payload},
    timer::Timer,
};

/// Maximum commands that wait for a backend. A backend with more is treated as exited.
const COMMANDS_MAX: usize = 64;

/// A session, and what is needed to carry out its actions.
pub(crate) struct Driver {
    timer: Arc<Timer>,
    /// The capacity of a connection's channel, in events.
    window: usize,
    /// Locked for one synchronous call, and for sends that do not block.
    state: Mutex<State>,
    /// Notified when held senders may be released.
    released: Condvar,
}

struct State {
    session: Session<Body>,
    /// Empty between calls; reused for its memory.
    actions: Actions<Body>,
    next_connection: u64,
    buffers: BTreeMap<ConnectionId, Buffer>,
    /// `None` once the session is closed.
    backend: Option<Sender<Command>>,
    /// The streams whose senders are held.
    held: BTreeSet<StreamId>,
    reports: Vec<Report>,
}

/// A command of a session to its backend.
pub(crate) enum Command {
    /// Handle this message.
    Handle(Body),
    /// Cancel this request of the client.
    Cancel(RequestId),
    /// This server request has failed.
    Fail(RequestId, UnansweredReason),
}

/// An SSE event, for an HTTP body to write.
pub(crate) struct SseEvent {
    /// The range of indexes in which events before this one are missing, for a comment.
    pub(crate) gap: Option<RangeInclusive<u64>>,
    /// The index by which [`Input::Acknowledged`] refers to it.
    pub(crate) index: u64,
    /// The `id:` field.
    pub(crate) id: Option<EventId>,
    /// The `data:` field.
    pub(crate) event: Event<Body>,
}

impl Driver {
    /// Starts a session. Also returns its commands to the backend.
    pub(crate) fn start(config: ValidConfig, timer: Arc<Timer>) -> (Arc<Self>, Receiver<Command>) {
        let (backend, commands) = bounded(COMMANDS_MAX);
        let window = config.window_events_max as usize;
        let session = Session::new(config, timer.now());
        session.deadline().into_iter().for_each(|deadline| timer.schedule(deadline));
        let state = Mutex::new(State {
            session,
            actions: Actions::new(),
            next_connection: 0,
            buffers: BTreeMap::new(),
            backend: Some(backend),
            held: BTreeSet::new(),
            reports: Vec::new(),
        });
        (Arc::new(Self { timer, window, state, released: Condvar::new() }), commands)
    }

    /// Handles a POST with a request.
    pub(crate) fn post(self: &Arc<Self>, request: Payload) -> Result<Connection, Rejection> {
        let post = Post::Single(request.into());
        let format = AnswerFormat::Sse;
        self.connect(|connection| Input::Post { connection, format, post })
    }

    /// Handles a GET that resumes.
    pub(crate) fn get(self: &Arc<Self>, id: EventId) -> Result<Connection, Rejection> {
        let last_event_id = Some(id);
        self.connect(|connection| Input::Get { connection, last_event_id })
    }

    /// Handles a DELETE.
    pub(crate) fn delete(&self) -> Result<(), Rejection> {
        self.apply(Input::Delete)
    }

    /// Handles a message of the backend, and waits while the backend is held. Returns whether it
    /// was.
    pub(crate) fn push(&self, payload: Payload) -> Result<bool, Rejection> {
        let message = payload.into();
        let mut state = self.state.lock();
        self.handle(&mut state, Input::BackendMessage { message, related: None })?;
        let is_held = !state.held.is_empty();
        self.released.wait_while(&mut state, |state| !state.held.is_empty());
        Ok(is_held)
    }

    /// Pulls the next event of a connection, if there is one, and acknowledges it in the same
    /// critical section: an event that is discarded must not be pulled.
    pub(crate) fn pull(
        &self,
        connection: ConnectionId,
        events: &Receiver<SseEvent>,
    ) -> Result<Result<SseEvent, TryRecvError>, Rejection> {
        let mut state = self.state.lock();
        let event = events.try_recv();
        if let Ok(SseEvent { index, .. }) = event {
            self.handle(&mut state, Input::Acknowledged { connection, through: index })?;
        }
        Ok(event)
    }

    /// Handles a closed connection.
    pub(crate) fn on_closed(
        &self,
        connection: ConnectionId,
        through: Option<u64>,
    ) -> Result<(), Rejection> {
        let mut state = self.state.lock();
        state.buffers.remove(&connection);
        self.handle(&mut state, Input::ConnectionClosed { connection, through })
    }

    /// Handles a deadline.
    pub(crate) fn tick(&self) -> Result<(), Rejection> {
        self.apply(Input::Tick)
    }

    /// Returns why the session is closed, if it is, and all its reports.
    pub(crate) fn outcome(&self) -> (Option<CloseReason>, Vec<Report>) {
        let state = self.state.lock();
        (state.session.close_reason(), state.reports.clone())
    }

    /// Opens a connection, with a channel as large as the window, so that sends never block.
    fn connect(
        self: &Arc<Self>,
        input: impl FnOnce(ConnectionId) -> Input<Body>,
    ) -> Result<Connection, Rejection> {
        let (events, body) = bounded(self.window);
        let mut state = self.state.lock();
        let id = ConnectionId(state.next_connection);
        state.next_connection += 1;
        state.buffers.insert(id, Buffer { events: Some(events), body: body.clone(), gap: None });
        if let Err(rejection) = self.handle(&mut state, input(id)) {
            state.buffers.remove(&id);
            return Err(rejection);
        }
        Ok(Connection::new(id, Arc::clone(self), body))
    }

    /// Applies an input that cannot hold a sender.
    fn apply(&self, input: Input<Body>) -> Result<(), Rejection> {
        self.handle(&mut self.state.lock(), input)
    }

    /// Applies an input, and carries out its actions.
    fn handle(&self, state: &mut State, input: Input<Body>) -> Result<(), Rejection> {
        let result = state.handle(self.timer.now(), input);
        if let Some(deadline) = state.session.deadline() {
            self.timer.schedule(deadline);
        }
        self.released.notify_all();
        result
    }
}

impl State {
    fn handle(&mut self, now: rejoin_core::Instant, input: Input<Body>) -> Result<(), Rejection> {
        let result = self.session.handle(now, input, &mut self.actions);
        // Also after a rejection: timers may have fired.
        if !self.carry_out() {
            // Rejected if the session is already closed, which does not matter.
            let _ = self.session.handle(now, Input::BackendGone, &mut self.actions);
            self.carry_out();
        }
        result
    }

    /// Carries out all actions, in order. Returns whether the backend received its commands.
    fn carry_out(&mut self) -> bool {
        let Self { actions, buffers, backend, held, reports, .. } = self;
        let mut is_backend_alive = true;
        let mut send = |backend: &Option<Sender<Command>>, command| {
            let sent = backend.as_ref().is_some_and(|backend| backend.try_send(command).is_ok());
            is_backend_alive &= sent;
        };
        for action in actions.drain() {
            match action {
                Action::Forward { message } => send(backend, Command::Handle(message)),
                Action::CancelRequest { id } => send(backend, Command::Cancel(id)),
                Action::FailServerRequest { id, reason } => {
                    send(backend, Command::Fail(id, reason));
                }
                Action::Send { connection, index, id, event } => {
                    if let Some(buffer) = buffers.get_mut(&connection) {
                        buffer.send(index, id, event);
                    }
                }
                Action::Gap { connection, stream: _, missed } => {
                    if let Some(buffer) = buffers.get_mut(&connection) {
                        buffer.note_gap(&missed);
                    }
                }
                Action::Discard { connection } => {
                    if let Some(buffer) = buffers.get_mut(&connection) {
                        buffer.discard();
                    }
                }
                Action::Close { connection, reason } => {
                    if let Some(buffer) = buffers.get_mut(&connection) {
                        buffer.close(reason);
                    }
                }
                Action::Hold { stream } => {
                    held.insert(stream);
                }
                Action::Release { stream } => {
                    held.remove(&stream);
                }
                Action::SessionClosed { reason: _ } => {
                    *backend = None;
                    held.clear();
                    buffers.clear();
                }
                Action::Report(report) => reports.push(report),
            }
        }
        is_backend_alive
    }
}

/// The sending side of a connection, until the connection is reported as closed.
struct Buffer {
    /// `None` once the connection is closed; the body then ends after the events that it has.
    events: Option<Sender<SseEvent>>,
    /// The receiving side, for discarding events.
    body: Receiver<SseEvent>,
    /// The gap before the next event.
    gap: Option<RangeInclusive<u64>>,
}

impl Buffer {
    fn send(&mut self, index: u64, id: Option<EventId>, event: Event<Body>) {
        let gap = self.gap.take();
        let sent = self.events.as_ref().map(|it| it.try_send(SseEvent { gap, index, id, event }));
        debug_assert!(matches!(sent, Some(Ok(()))), "events fit into the window");
    }

    fn note_gap(&mut self, missed: &RangeInclusive<u64>) {
        let first = self.gap.as_ref().map_or(*missed.start(), |gap| *gap.start());
        self.gap = Some(first..=*missed.end());
    }

    fn discard(&mut self) {
        self.gap = None;
        self.body.try_iter().for_each(drop);
    }

    fn close(&mut self, reason: EndReason) {
        self.events = None;
        if !reason.drains() {
            self.discard();
        }
    }
}
