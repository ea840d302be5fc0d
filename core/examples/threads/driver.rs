//! The driver: tells a session what happens, and does what the session says.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use parking_lot::{Condvar, Mutex};
use rejoin_core::{
    Action, Actions, AnswerFormat, Backpressure, CloseReason, ConnectionId, EndReason, Event,
    EventId, Input, Post, Rejection, Report, RequestId, Session, StreamId, UnansweredReason,
    ValidConfig,
};

use crate::{
    connection::Connection,
    payload::{Body, Payload},
    timer::Timer,
};

/// How many orders wait for a backend. One that lets more pile up is given up.
const ORDERS_MAX: usize = 64;

/// A session, and all that it takes to carry its actions out.
pub(crate) struct Driver {
    timer: Arc<Timer>,
    /// The capacity of a connection's channel, in events.
    window: usize,
    /// Locked for one synchronous call, and for sends that do not wait.
    state: Mutex<State>,
    /// Whoever was held up looks again.
    released: Condvar,
}

struct State {
    session: Session<Body>,
    /// Empty between calls; kept for its memory.
    actions: Actions<Body>,
    next_connection: u64,
    outlets: BTreeMap<ConnectionId, Outlet>,
    /// `None` once there is nothing more to order.
    backend: Option<Sender<Order>>,
    /// The streams whose senders wait.
    held: BTreeSet<StreamId>,
    reports: Vec<Report>,
}

/// What a session wants of its backend.
pub(crate) enum Order {
    /// Answer this message.
    Answer(Body),
    /// Stop: this request of the client is not wanted any more.
    Cancel(RequestId),
    /// Do not wait: this request to the client has failed.
    Fail(RequestId, UnansweredReason),
}

/// What a connection carries, for its HTTP body to write.
pub(crate) struct SseEvent {
    /// The indexes among which events are missing before this one: a comment.
    pub(crate) gap: Option<RangeInclusive<u64>>,
    /// What [`Input::Acknowledged`] calls it.
    pub(crate) index: u64,
    /// What its `id:` field says.
    pub(crate) id: Option<EventId>,
    /// What its `data:` field says.
    pub(crate) event: Event<Body>,
}

impl Driver {
    /// Begins a session; returns its orders to the backend, too.
    pub(crate) fn begin(config: ValidConfig, timer: Arc<Timer>) -> (Arc<Self>, Receiver<Order>) {
        let (backend, orders) = bounded(ORDERS_MAX);
        let window = config.window_events_max as usize;
        let session = Session::new(config, timer.now());
        session.deadline().into_iter().for_each(|deadline| timer.announce(deadline));
        let state = Mutex::new(State {
            session,
            actions: Actions::new(),
            next_connection: 0,
            outlets: BTreeMap::new(),
            backend: Some(backend),
            held: BTreeSet::new(),
            reports: Vec::new(),
        });
        (Arc::new(Self { timer, window, state, released: Condvar::new() }), orders)
    }

    /// Takes a POST with a request.
    pub(crate) fn post(self: &Arc<Self>, request: Payload) -> Result<Connection, Rejection> {
        let post = Post::Single(request.into());
        let format = AnswerFormat::Sse;
        self.connect(|connection| Input::Request { connection, format, post })
    }

    /// Takes a GET that resumes.
    pub(crate) fn get(self: &Arc<Self>, id: EventId) -> Result<Connection, Rejection> {
        let last_event_id = Some(id);
        self.connect(|connection| Input::Get { connection, last_event_id })
    }

    /// Takes a DELETE.
    pub(crate) fn delete(&self) -> Result<(), Rejection> {
        self.tell(Input::Delete)
    }

    /// Takes a message of the backend, and waits while its reader trails too far.
    pub(crate) fn push(&self, payload: Payload) -> Result<Backpressure, Rejection> {
        let message = payload.into();
        let mut state = self.state.lock();
        let pressure = self.handle(&mut state, Input::BackendMessage { message, related: None })?;
        if let Backpressure::Hold(stream) = pressure {
            state.held.insert(stream);
            self.released.wait_while(&mut state, |state| state.held.contains(&stream));
        }
        Ok(pressure)
    }

    /// Pulls the next event of a connection, if one is ready, and reports it as taken in the
    /// same critical section: what is discarded must not be pulled as well.
    pub(crate) fn pull(
        &self,
        connection: ConnectionId,
        events: &Receiver<SseEvent>,
    ) -> Result<Result<SseEvent, TryRecvError>, Rejection> {
        let mut state = self.state.lock();
        let event = events.try_recv();
        if let Ok(SseEvent { index, .. }) = event {
            let (Backpressure::None | Backpressure::Hold(_)) =
                self.handle(&mut state, Input::Acknowledged { connection, through: index })?;
        }
        Ok(event)
    }

    /// Hears that a connection is gone.
    pub(crate) fn closed(
        &self,
        connection: ConnectionId,
        through: Option<u64>,
    ) -> Result<(), Rejection> {
        let mut state = self.state.lock();
        state.outlets.remove(&connection);
        self.handle(&mut state, Input::ConnectionClosed { connection, through }).map(|_| ())
    }

    /// Lets time pass.
    pub(crate) fn tick(&self) -> Result<(), Rejection> {
        self.tell(Input::Tick)
    }

    /// Returns why the session is closed, if it is, and all that was lost in it.
    pub(crate) fn outcome(&self) -> (Option<CloseReason>, Vec<Report>) {
        let state = self.state.lock();
        (state.session.close_reason(), state.reports.clone())
    }

    /// Makes a connection, with a channel in which every send finds room.
    fn connect(
        self: &Arc<Self>,
        input: impl FnOnce(ConnectionId) -> Input<Body>,
    ) -> Result<Connection, Rejection> {
        let (events, body) = bounded(self.window);
        let mut state = self.state.lock();
        let id = ConnectionId(state.next_connection);
        state.next_connection += 1;
        state.outlets.insert(id, Outlet { events: Some(events), body: body.clone(), gap: None });
        if let Err(rejection) = self.handle(&mut state, input(id)) {
            state.outlets.remove(&id);
            return Err(rejection);
        }
        Ok(Connection::new(id, Arc::clone(self), body))
    }

    /// Applies an input that holds nobody up.
    fn tell(&self, input: Input<Body>) -> Result<(), Rejection> {
        match self.handle(&mut self.state.lock(), input)? {
            Backpressure::None | Backpressure::Hold(_) => Ok(()),
        }
    }

    /// Applies an input, and carries the actions out.
    fn handle(&self, state: &mut State, input: Input<Body>) -> Result<Backpressure, Rejection> {
        let result = state.handle(self.timer.now(), input);
        if let Some(deadline) = state.session.deadline() {
            self.timer.announce(deadline);
        }
        self.released.notify_all();
        result
    }
}

impl State {
    fn handle(
        &mut self,
        now: rejoin_core::Instant,
        input: Input<Body>,
    ) -> Result<Backpressure, Rejection> {
        let result = self.session.handle(now, input, &mut self.actions);
        // Even where the input was rejected: what was due has happened.
        if !self.carry_out() {
            // It is rejected if the session is closed already, which will do.
            let _ = self.session.handle(now, Input::BackendGone, &mut self.actions);
            self.carry_out();
        }
        result
    }

    /// Carries all actions out, in order. Returns whether the backend took its orders.
    fn carry_out(&mut self) -> bool {
        let Self { session, actions, outlets, backend, held, reports, .. } = self;
        let mut is_backend_well = true;
        let mut order = |backend: &Option<Sender<Order>>, order| {
            let sent = backend.as_ref().is_some_and(|backend| backend.try_send(order).is_ok());
            is_backend_well &= sent;
        };
        for action in actions.drain() {
            match action {
                Action::Forward { message } => order(backend, Order::Answer(message)),
                Action::CancelRequest { id } => order(backend, Order::Cancel(id)),
                Action::FailServerRequest { id, reason } => order(backend, Order::Fail(id, reason)),
                Action::Send { connection, index, id, event } => {
                    if let Some(outlet) = outlets.get_mut(&connection) {
                        outlet.send(index, id, event);
                    }
                }
                Action::Replay { connection, stream, range } => {
                    if let Some(outlet) = outlets.get_mut(&connection) {
                        for logged in session.replay(stream, range) {
                            let id = EventId::new(stream, logged.index);
                            outlet.send(logged.index, Some(id), logged.entry.to_event());
                        }
                    }
                }
                Action::Gap { connection, stream: _, missed } => {
                    if let Some(outlet) = outlets.get_mut(&connection) {
                        outlet.note_gap(&missed);
                    }
                }
                Action::Discard { connection } => {
                    if let Some(outlet) = outlets.get_mut(&connection) {
                        outlet.discard();
                    }
                }
                Action::Close { connection, reason } => {
                    if let Some(outlet) = outlets.get_mut(&connection) {
                        outlet.end(reason);
                    }
                }
                Action::Release { stream } => {
                    held.remove(&stream);
                }
                Action::SessionClosed { reason: _ } => {
                    *backend = None;
                    held.clear();
                    outlets.clear();
                }
                Action::Report(report) => reports.push(report),
            }
        }
        is_backend_well
    }
}

/// The session's end of a connection, until the connection is reported as closed.
struct Outlet {
    /// `None` once the body ends, after what it holds.
    events: Option<Sender<SseEvent>>,
    /// The other end, to take back what was sent.
    body: Receiver<SseEvent>,
    /// What was missed before the next event.
    gap: Option<RangeInclusive<u64>>,
}

impl Outlet {
    fn send(&mut self, index: u64, id: Option<EventId>, event: Event<Body>) {
        let gap = self.gap.take();
        let sent = self.events.as_ref().map(|it| it.try_send(SseEvent { gap, index, id, event }));
        debug_assert!(matches!(sent, Some(Ok(()))), "what is sent fits into the window");
    }

    fn note_gap(&mut self, missed: &RangeInclusive<u64>) {
        let first = self.gap.as_ref().map_or(*missed.start(), |gap| *gap.start());
        self.gap = Some(first..=*missed.end());
    }

    fn discard(&mut self) {
        self.gap = None;
        self.body.try_iter().for_each(drop);
    }

    fn end(&mut self, reason: EndReason) {
        self.events = None;
        if !reason.drains() {
            self.discard();
        }
    }
}
