//! The session cell: one lock, held for a synchronous call and never longer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use rejoin_core::{
    AnswerFormat, CloseReason, ConnectionId, EventId, Head, Input, Instant, Post, Pressure,
    Rejection, RequestId, StreamId,
};

use smallvec::SmallVec;

#[cfg(feature = "http")]
use super::buffer::Part;
use super::{
    SessionError,
    buffer::SseEvent,
    state::{Aftermath, Gone, Happened, State, UnusedSession},
};
use crate::{
    SessionId,
    backend::{ClientMessages, NoRoom, Outbox, Room},
    log,
    manager::{PeerPlace, Shared, WeakPlace},
    message,
    sync::{Mutex, oneshot},
};

/// A session, and all that it takes to carry its actions out.
#[derive(Debug)]
pub(crate) struct SessionInner {
    id: SessionId,
    shared: Arc<Shared>,
    outbox: Outbox,
    /// Messages of the client that the backend has not taken, in bytes.
    #[cfg(feature = "http")]
    received: Arc<crate::account::Account>,
    state: Mutex<State>,
    this: Weak<SessionInner>,
}

/// How much is taken of a connection at once; one event at least, however large it is, if it
/// is not larger than one may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) bytes_of_one: usize,
}

/// What is noted of the requests of a POST.
#[derive(Debug, Default)]
struct Requests {
    /// Whether they use the session.
    are_use: bool,
    /// Those that are to have a time limit.
    limited: SmallVec<[RequestId; 1]>,
}

/// What is said of a session that has panicked.
const BROKEN: Rejection = Rejection::Closed(CloseReason::Cancelled);

/// A sender that must wait; ready when the reader that holds it up has caught up.
pub(crate) type Held = oneshot::Receiver<()>;

impl SessionInner {
    /// Begins a session, and returns the inbox of its backend, too.
    pub(crate) fn begin(
        id: SessionId,
        shared: Arc<Shared>,
        place: WeakPlace,
    ) -> (Arc<Self>, ClientMessages) {
        let mut inbox = None;
        let cell = Arc::new_cyclic(|this: &Weak<Self>| {
            // As many as can be owed at a time, so that only who does not listen has more.
            let said_max = shared
                .config
                .server_requests_max
                .saturating_add(shared.config.pending_requests_max);
            let queue_max = shared.settings.queue_max;
            let (outbox, other_end) = Outbox::new(queue_max, said_max, Weak::clone(this), place);
            inbox = Some(other_end);
            let now = shared.clock.now();
            #[cfg_attr(not(feature = "journal"), expect(unused_mut, reason = "for the recorder"))]
            let mut state = State::new(shared.config.clone(), now, outbox.clone());
            #[cfg(feature = "journal")]
            if let Some(journal) = &shared.journal {
                state.recorder = Some(journal.recorder(id, &shared.config, now));
            }
            Self {
                id,
                shared,
                outbox,
                #[cfg(feature = "http")]
                received: Arc::default(),
                state: Mutex::new(state),
                this: Weak::clone(this),
            }
        });
        cell.turn((), |_, _| ());
        #[expect(clippy::expect_used, reason = "the closure above has run")]
        let inbox = inbox.expect("a session has an inbox");
        (cell, inbox)
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    #[cfg(feature = "http")]
    pub(crate) fn received(&self) -> &Arc<crate::account::Account> {
        &self.received
    }

    pub(crate) fn batch_max(&self) -> usize {
        self.shared.config.batch_max
    }

    /// Returns how deep the JSON of a message may be nested.
    pub(crate) fn json_depth_max(&self) -> usize {
        self.shared.settings.json_depth_max
    }

    /// Returns whether the backend still has to answer this request of the client.
    #[cfg(feature = "stdio")]
    pub(crate) fn is_unanswered(&self, request: &RequestId) -> bool {
        self.state.lock().core.is_unanswered(request)
    }

    /// Returns the only request of the client that the backend still has to answer.
    #[cfg(feature = "stdio")]
    pub(crate) fn sole_unanswered(&self) -> Option<RequestId> {
        self.state.lock().core.sole_unanswered().cloned()
    }

    /// Returns what the answer to `initialize` said, once it came.
    pub(crate) fn initialized(&self) -> Option<rejoin_core::Initialized> {
        self.state.lock().core.initialized()
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.state.lock().core.close_reason()
    }

    /// Returns the stream of a pending request of the client.
    pub(crate) fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        self.state.lock().core.stream_of(request)
    }

    pub(crate) fn carried(&self, connection: ConnectionId) -> Option<StreamId> {
        self.state.lock().core.stream_on(connection)
    }

    /// Waits until the backend has room for what a POST carries.
    pub(crate) async fn room(&self, post: &Post<Bytes>) -> Result<Room<'_>, NoRoom> {
        self.outbox.reserve(post.messages().len(), self.shared.settings.queue_timeout).await
    }

    /// Counts as unused, and for the address of its client, from now on.
    pub(crate) fn begin_unused(&self, peer_place: Option<PeerPlace>) {
        self.turn((), |state, _| {
            // Whoever lets go of a session that is closed may have been here already.
            if state.core.close_reason().is_none() {
                state.peer_place = peer_place;
                let number = self.shared.unused.add(&self.this);
                let deadline = self.unused_deadline();
                state.unused = Some(UnusedSession { number, deadline });
            }
        });
    }

    /// Ends if it is initialized but unused, and has no connection. Returns whether it has
    /// ended.
    pub(crate) fn end_unused(&self) -> bool {
        self.turn(true, |state, aftermath| {
            let ends = state.unused.is_some() && is_idle(state);
            if ends {
                let input = Input::CloseSession { reason: CloseReason::Idle };
                let _ = state.handle(self.shared.clock.now(), input, None, aftermath);
            }
            ends
        })
    }

    fn unused_deadline(&self) -> Instant {
        let timeout = self.shared.settings.unused_timeout;
        timeout.map_or(Instant::MAX, |timeout| self.shared.clock.now().saturating_add(timeout))
    }

    /// Ends if it has been unused for too long and has no connection.
    fn wake_unused(&self, now: Instant) {
        let is_due = self.turn(false, |state, _| {
            let deadline = self.unused_deadline();
            let is_idle = is_idle(state);
            let unused = state.unused.as_mut().filter(|unused| unused.deadline <= now);
            let is_due = unused.is_some();
            if let Some(unused) = unused.filter(|_| !is_idle) {
                unused.deadline = deadline;
            }
            is_due && is_idle
        });
        if is_due {
            self.end_unused();
        }
    }

    /// Notes what requests were accepted.
    fn note(&self, state: &mut State, now: Instant, requests: &Requests) {
        if requests.are_use
            && state.core.initialized().is_some()
            && let Some(unused) = state.unused.take()
        {
            self.shared.unused.remove(unused.number);
        }
        if let Some(timeout) = self.shared.settings.request_timeout {
            state.limit(&requests.limited, now.saturating_add(timeout));
        }
    }

    /// Takes a reservation: a connection for a request that is still to come.
    pub(crate) fn reserve(&self) -> Result<ConnectionId, Rejection> {
        self.connect(None, &Requests::default(), |connection| Input::Reserve { connection })
    }

    /// Takes a POST with a request, on a new connection.
    pub(crate) fn request(
        &self,
        post: Post<Bytes>,
        format: AnswerFormat,
        room: &mut Room<'_>,
    ) -> Result<ConnectionId, Rejection> {
        if let Some(client) = message::client_of(&post) {
            self.turn((), |state, _| state.client = Some(client));
        }
        let requests = self.requests(&post);
        let input = |connection| Input::Request { connection, format, post };
        self.connect(Some(room), &requests, input)
    }

    /// Takes a POST with a request, on a connection that was reserved.
    pub(crate) fn request_on(
        &self,
        connection: ConnectionId,
        post: Post<Bytes>,
        format: AnswerFormat,
        room: &mut Room<'_>,
    ) -> Result<(), SessionError> {
        let requests = self.requests(&post);
        let input = Input::Request { connection, format, post };
        self.turn(Err(BROKEN.into()), |state, aftermath| {
            if !state.is_connected(connection) {
                return Err(SessionError::NotReserved);
            }
            state.check_backend()?;
            let now = self.shared.clock.now();
            state.handle(now, input, Some(room), aftermath).map(drop_pressure)?;
            state.check_open()?;
            self.note(state, now, &requests);
            Ok(())
        })
    }

    /// Returns what is to be noted of a POST once it is accepted.
    fn requests(&self, post: &Post<Bytes>) -> Requests {
        let are_use = message::is_use(post);
        if self.shared.settings.request_timeout.is_none() {
            return Requests { are_use, limited: SmallVec::new() };
        }
        let ids = post.messages().iter().filter_map(|message| match &message.head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        });
        Requests { are_use, limited: ids.collect() }
    }

    /// Takes a POST without a request.
    pub(crate) fn message(&self, post: Post<Bytes>, room: &mut Room<'_>) -> Result<(), Rejection> {
        debug_assert!(!message::has_request(&post), "a POST with a request has a connection");
        self.turn(Err(BROKEN), |state, aftermath| {
            let input = Input::Message { post };
            state.check_backend()?;
            state
                .handle(self.shared.clock.now(), input, Some(room), aftermath)
                .map(drop_pressure)?;
            state.check_open()
        })
    }

    /// Takes a GET.
    pub(crate) fn get(&self, last_event_id: Option<EventId>) -> Result<ConnectionId, Rejection> {
        let connection = self.connect(None, &Requests::default(), |connection| Input::Get {
            connection,
            last_event_id,
        })?;
        if let Some(id) = last_event_id {
            self.turn((), |state, aftermath| aftermath.happened.push(state.resumed(id)));
        }
        Ok(connection)
    }

    /// Takes a message of the backend. Returns what its sender must wait for.
    ///
    /// If the message is rejected, the backend is told what `refusal` returns before anything
    /// that the client says next.
    pub(crate) fn say(
        &self,
        input: Input<Bytes>,
        refusal: impl FnOnce(&Rejection) -> Option<Bytes>,
    ) -> Result<Option<Held>, Rejection> {
        self.turn(Err(BROKEN), |state, aftermath| {
            state.check_backend()?;
            match state.handle(self.shared.clock.now(), input, None, aftermath) {
                Err(rejection) => {
                    if let Some(refusal) = refusal(&rejection) {
                        state.say(refusal, aftermath);
                    }
                    Err(rejection)
                }
                Ok(Pressure::None) => Ok(None),
                Ok(Pressure::Hold(stream)) => {
                    let (sender, held) = oneshot::channel();
                    state.held.retain(|(_, sender)| !sender.is_closed());
                    state.held.push((stream, sender));
                    Ok(Some(held))
                }
            }
        })
    }

    /// Hands a message of this server itself to the backend.
    #[cfg(feature = "stdio")]
    pub(crate) fn tell_backend(&self, message: Bytes) {
        self.turn((), |state, aftermath| state.say(message, aftermath));
    }

    pub(crate) fn close_stream(
        &self,
        stream: StreamId,
        retry: Option<Duration>,
    ) -> Result<(), Rejection> {
        self.apply(Input::Disconnect { stream, retry })
    }

    /// Applies an input that forwards nothing.
    pub(crate) fn apply(&self, input: Input<Bytes>) -> Result<(), Rejection> {
        self.turn(Err(BROKEN), |state, aftermath| {
            state.handle(self.shared.clock.now(), input, None, aftermath).map(drop_pressure)
        })
    }

    /// Applies an input that only a closed session rejects, which does not mind.
    pub(crate) fn tell(&self, input: Input<Bytes>) {
        let _ = self.apply(input);
    }

    /// Hears that the backend is gone, and why, if it says so. The session takes nothing new,
    /// and ends when its connections have sent what the backend said before.
    pub(crate) fn lose_backend(&self, why: Option<String>) {
        self.turn((), |state, _| {
            // The first one knows best: to close an inbox also drops it.
            state.gone.get_or_insert_with(|| Box::new(Gone { why }));
        });
    }

    /// Lets time pass: the deadline queue has let go of the entry for `due`.
    pub(crate) fn wake(&self, due: Instant) {
        self.turn((), |state, aftermath| {
            state.armed.take_if(|armed| *armed == due);
            let now = self.shared.clock.now();
            let _ = state.handle(now, Input::Tick, None, aftermath);
            if let Some(timeout) = self.shared.settings.request_timeout {
                let why = format!("the server did not answer within {timeout:?}");
                state.strike_limits(now, &why, aftermath);
            }
        });
        self.wake_unused(due);
    }

    /// Moves what a connection has to send to `out`, or waits for it. Returns whether
    /// more may come. Where the next event is too large, nothing is moved.
    pub(crate) fn poll_events(
        &self,
        connection: ConnectionId,
        through: &mut Option<u64>,
        out: &mut Vec<SseEvent>,
        most: Most,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        self.turn(Poll::Ready(false), |state, aftermath| {
            let Some(channel) = state.channels.get_mut(connection) else {
                return Poll::Ready(false);
            };
            let (mut taken, mut bytes) = (None, 0);
            let before = out.len();
            while out.len() - before < most.events && bytes < most.bytes {
                let Some((event, index)) = channel.pop(most.bytes_of_one) else { break };
                bytes += event.bytes();
                out.push(event);
                taken = index.or(taken);
            }
            *through = taken.or(*through);
            let now = self.shared.clock.now();
            if channel.is_over() {
                state.channels.remove(connection);
                let input = Input::ConnectionClosed { connection, through: *through };
                let _ = state.handle(now, input, None, aftermath);
                return Poll::Ready(false);
            }
            if channel.is_empty() && out.len() == before {
                channel.wake(cx.waker());
                return Poll::Pending;
            }
            if let Some(through) = taken {
                let _ =
                    state.handle(now, Input::Acknowledged { connection, through }, None, aftermath);
            }
            Poll::Ready(true)
        })
    }

    /// Takes the next part of the next message of a connection. The session hears of each
    /// that its reader has taken something, and of the last that it has taken the message.
    #[cfg(feature = "http")]
    pub(crate) fn take_part(
        &self,
        connection: ConnectionId,
        through: &mut Option<u64>,
        bytes_max: usize,
    ) -> Option<Part> {
        self.turn(None, |state, aftermath| {
            let (part, index) = state.channels.get_mut(connection)?.pop_part(bytes_max)?;
            *through = index.or(*through);
            let input = Input::Acknowledged { connection, through: through.unwrap_or(0) };
            let _ = state.handle(self.shared.clock.now(), input, None, aftermath);
            Some(part)
        })
    }

    /// Hears that a connection is gone.
    pub(crate) fn disconnect(&self, connection: ConnectionId, through: Option<u64>) {
        self.turn((), |state, aftermath| {
            if let Some(channel) = state.channels.remove(connection) {
                if !channel.is_ended()
                    && let Some(stream) = state.core.stream_on(connection)
                {
                    aftermath.happened.push(Happened::Lost { connection, stream, through });
                }
                let input = Input::ConnectionClosed { connection, through };
                let _ = state.handle(self.shared.clock.now(), input, None, aftermath);
            }
        });
    }

    /// Returns whether no new request is accepted.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.drain.retry().is_some()
    }

    /// Ends the session, if all sessions are drained and nothing is in flight in this one.
    pub(crate) fn end_if_quiet(&self) {
        self.turn((), |_, _| ());
    }

    /// Notes the process that serves the session, for the log.
    #[cfg(feature = "stdio")]
    pub(crate) fn served_by(&self, process: i32) {
        self.turn((), |state, _| state.process = Some(process));
    }

    /// Makes a connection, with a channel to carry what comes at once.
    fn connect(
        &self,
        room: Option<&mut Room<'_>>,
        requests: &Requests,
        input: impl FnOnce(ConnectionId) -> Input<Bytes>,
    ) -> Result<ConnectionId, Rejection> {
        let is_request = room.is_some();
        self.turn(Err(BROKEN), |state, aftermath| {
            if is_request {
                state.check_backend()?;
            }
            let connection = ConnectionId(state.next_connection);
            state.next_connection = state.next_connection.saturating_add(1);
            state.channels.insert(connection);
            let now = self.shared.clock.now();
            let result = state.handle(now, input(connection), room, aftermath);
            let result = result.and_then(|_| state.check_open());
            match result {
                Ok(()) => self.note(state, now, requests),
                Err(_) => state.channels.remove(connection).into_iter().for_each(drop),
            }
            result.map(|()| connection)
        })
    }

    /// Holds the lock for `act`, keeps the deadline queue up to date, and does what
    /// must not be done under the lock afterwards.
    ///
    /// A panic of the core leaves its state in the middle of a change. The session is then
    /// closed, and `otherwise` is the result.
    fn turn<R>(&self, otherwise: R, act: impl FnOnce(&mut State, &mut Aftermath) -> R) -> R {
        let mut aftermath = Aftermath::default();
        let result = {
            let mut state = self.state.lock();
            let turn = || {
                let result = act(&mut state, &mut aftermath);
                if state.gone.is_some() {
                    state.end_if_gone(self.shared.clock.now(), &mut aftermath);
                }
                if let Some(retry) = self.shared.drain.retry() {
                    state.end_if_quiet(self.shared.clock.now(), retry, &mut aftermath);
                }
                result
            };
            let result = catch_unwind(AssertUnwindSafe(turn)).unwrap_or_else(|_| {
                log::broken(self.id);
                state.give_up(&self.shared.config, self.shared.clock.now(), &mut aftermath);
                otherwise
            });
            self.arm(&mut state);
            result
        };
        self.see_to(aftermath);
        result
    }

    /// Has the deadline queue wake this session in time; too early does no harm.
    fn arm(&self, state: &mut State) {
        let armed = state.armed.unwrap_or(Instant::MAX);
        let deadline = state.core.deadline_before(armed).unwrap_or(armed);
        let deadline = state.time_limit().map_or(deadline, |limit| limit.min(deadline));
        let unused = state.unused.as_ref().map(|unused| unused.deadline);
        let deadline = unused.map_or(deadline, |unused| unused.min(deadline));
        if deadline < armed {
            self.shared.deadlines.arm(self.id, state.armed, deadline, &self.this);
            state.armed = Some(deadline);
        }
    }

    fn see_to(&self, aftermath: Aftermath) {
        let Aftermath { wakers, released, opened, happened, has_mail, is_flooded, closed, gone: _ } =
            aftermath;
        wakers.into_iter().for_each(std::task::Waker::wake);
        drop(released);
        if let Some(opened) = &opened {
            log::opened(self.id, opened);
        }
        for happened in &happened {
            log::happened(self.id, happened);
        }
        if let Some(closed) = closed {
            self.outbox.announce_end();
            log::closed(self.id, &closed);
            self.shared.forget(self);
        } else if is_flooded {
            log::flooded(self.id);
            self.tell(Input::BackendGone);
        }
        if has_mail {
            self.outbox.run_handler();
        }
    }

    /// Leaves the deadline queue, once closed.
    pub(crate) fn disarm(&self) {
        let mut state = self.state.lock();
        if let Some(armed) = state.armed.take() {
            self.shared.deadlines.disarm(self.id, armed);
        }
        if let Some(unused) = state.unused.take() {
            self.shared.unused.remove(unused.number);
        }
        state.peer_place = None;
    }
}

/// Returns whether nobody listens, and nobody is about to.
fn is_idle(state: &State) -> bool {
    state.core.initialized().is_some() && state.channels.is_empty()
}

/// Nobody is held up by an input that is no message of the backend.
fn drop_pressure(pressure: Pressure) {
    debug_assert_eq!(pressure, Pressure::None);
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{Backend, ClientSender, ManagerConfig, OpenError, SessionManager};

    /// A backend that never answers.
    struct Silent;

    impl Backend for Silent {
        async fn open(&self, _: ClientSender, mut inbox: ClientMessages) -> Result<(), OpenError> {
            tokio::spawn(async move { while inbox.recv().await.is_some() {} });
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_session_that_panics_is_closed_on_every_path_and_harms_no_other() {
        let sessions = SessionManager::new(Silent, ManagerConfig::default()).unwrap();
        let broken = sessions.create_session().await.unwrap();
        let other = sessions.create_session().await.unwrap();
        let initialize = || {
            let text = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
            message::parse_message(Bytes::from_static(text.as_bytes()), 1).unwrap()
        };
        let waiting = broken.request(initialize(), AnswerFormat::Sse).await.unwrap();
        let cell = sessions.shared().find(broken.id()).unwrap();
        let outcome = cell
            .turn(Err(BROKEN), |_, _| -> Result<(), Rejection> { panic!("the core is at fault") });
        assert_eq!(outcome, Err(BROKEN));
        // To drop a connection of it calls the session again.
        drop(waiting);
        assert_eq!(broken.close_reason(), Some(CloseReason::Cancelled));
        assert!(broken.request(initialize(), AnswerFormat::Sse).await.is_err());
        cell.wake(Instant::MAX);
        assert!(!sessions.has_session(broken.id()));
        assert_eq!(sessions.sessions(), 1);
        assert!(other.request(initialize(), AnswerFormat::Sse).await.is_ok());
    }
}
