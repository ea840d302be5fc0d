//! What the lock of a session guards: the core, and what its actions are done to.

use std::{task::Waker, time::Duration};

use bytes::Bytes;
use rejoin_core::{
    Action, Actions, CloseReason, ConnectionId, EndReason, Event, EventId, Head, Input, Instant,
    Pressure, ProtocolVersion, Rejection, Report, RequestId, Session, StreamId, ValidConfig,
};
use smallvec::SmallVec;

use super::{
    buffer::SseEvent,
    buffers::ConnectionBuffers,
    time_limit::{Request, TimeLimits},
};
#[cfg(feature = "journal")]
use crate::journal::Recorder;
use crate::{
    backend::{Flooded, Outbox, Room},
    log,
    manager::PeerPlace,
    message, render,
    sync::oneshot,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Session<Bytes>,
    pub(super) outbox: Outbox,
    /// Of every connection that has an HTTP body: at most `connections_max`, and those
    /// that the core has cut and whose body has not noticed yet.
    pub(super) channels: ConnectionBuffers,
    /// Senders that wait, by the stream that holds them up.
    pub(super) held: Vec<(StreamId, oneshot::Sender<()>)>,
    pub(super) next_connection: u64,
    /// Not there before the first request that has a time limit.
    time_limits: Option<Box<TimeLimits>>,
    /// When the deadline queue is to wake this session.
    pub(super) armed: Option<Instant>,
    /// What the client says that it is, until the session is opened.
    pub(super) client: Option<Box<str>>,
    /// The process that serves the session, where one does.
    pub(super) process: Option<i32>,
    /// Whether `initialize` was answered.
    is_opened: bool,
    /// How often progress was dropped, because its request was not in progress.
    progress_dropped: u32,
    /// `None` once the client has called something.
    pub(super) unused: Option<UnusedSession>,
    /// What is known of a backend that is gone, while its answers are still being sent.
    pub(super) gone: Option<Box<Gone>>,
    /// What counts the session for the address of its client, until it ends.
    pub(super) peer_place: Option<PeerPlace>,
    #[cfg(feature = "journal")]
    pub(super) recorder: Option<Recorder>,
}

/// A backend that is gone.
#[derive(Debug)]
pub(super) struct Gone {
    /// Where it says so.
    pub(super) why: Option<String>,
}

/// A session whose client has made no request but `initialize` and `ping`.
#[derive(Debug)]
pub(super) struct UnusedSession {
    /// By which the manager knows it.
    pub(super) number: u64,
    /// When it ends, unless it has a connection then.
    pub(super) deadline: Instant,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    pub(super) wakers: SmallVec<[Waker; 2]>,
    pub(super) released: SmallVec<[oneshot::Sender<()>; 1]>,
    pub(super) opened: Option<Opened>,
    pub(super) happened: SmallVec<[Happened; 1]>,
    /// Whether there is something in the inbox of the backend, or its end.
    pub(super) has_mail: bool,
    /// Whether the backend does not hear what it asked for.
    pub(super) is_flooded: bool,
    pub(super) closed: Option<Closed>,
    /// Why the backend is gone, where it says so.
    pub(super) gone: Option<String>,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) reason: CloseReason,
    /// Whether it was opened before.
    pub(crate) was_opened: bool,
    /// How often progress was dropped, because its request was not in progress.
    pub(crate) progress_dropped: u32,
}

/// Who begins a session, and what serves it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) client: Option<Box<str>>,
    pub(crate) revision: Option<ProtocolVersion>,
    pub(crate) process: Option<i32>,
}

/// What is worth a line in the log.
#[derive(Debug)]
pub(crate) enum Happened {
    Reported(Report),
    Gap {
        stream: StreamId,
        first: u64,
        last: u64,
    },
    Ended {
        connection: ConnectionId,
        reason: EndReason,
    },
    /// A client disconnected before the end of a stream.
    Lost {
        connection: ConnectionId,
        stream: StreamId,
        through: Option<u64>,
    },
    /// A client came back, to events that it has not had.
    Resumed {
        stream: StreamId,
        after: u64,
        replayed: usize,
    },
    TimedOut {
        request: RequestId,
    },
}

impl Aftermath {
    fn wake(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.wakers.push(waker);
        }
    }
}

impl State {
    pub(super) fn new(config: ValidConfig, now: Instant, outbox: Outbox) -> Self {
        Self {
            core: Session::new(config, now),
            outbox,
            channels: ConnectionBuffers::default(),
            held: Vec::new(),
            next_connection: 0,
            time_limits: None,
            armed: None,
            client: None,
            process: None,
            is_opened: false,
            progress_dropped: 0,
            unused: None,
            gone: None,
            peer_place: None,
            #[cfg(feature = "journal")]
            recorder: None,
        }
    }

    /// Applies one input, and carries the actions out. `room` is for what it forwards.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        input: Input<Bytes>,
        room: Option<&mut Room<'_>>,
        aftermath: &mut Aftermath,
    ) -> Result<Pressure, Rejection> {
        #[cfg(feature = "journal")]
        if let Some(recorder) = &mut self.recorder
            && self.core.close_reason().is_none()
        {
            recorder.record(now, &input);
        }
        let mut actions = Actions::new();
        let result = self.core.handle(now, input, &mut actions);
        // Even where the input was rejected: what was due has happened.
        self.carry_out(&mut actions, room, aftermath);
        if !self.is_opened
            && let Some(initialized) = self.core.initialized()
        {
            self.is_opened = true;
            let (client, process) = (self.client.take(), self.process);
            aftermath.opened = Some(Opened { client, revision: initialized.version, process });
        }
        result
    }

    /// Gives requests that were accepted a time limit.
    pub(super) fn limit(&mut self, ids: &[RequestId], due: Instant) {
        let core = &self.core;
        let many = core.config().pending_requests_max.saturating_mul(2);
        for id in ids {
            if let Some(stream) = core.stream_of(id) {
                let request = Request { due, stream, id: id.clone() };
                let is_pending =
                    |request: &Request| core.stream_of(&request.id) == Some(request.stream);
                self.time_limits.get_or_insert_default().add(request, many, is_pending);
            }
        }
    }

    /// Returns when the first request has reached its time limit.
    pub(super) fn time_limit(&self) -> Option<Instant> {
        self.time_limits.as_ref()?.deadline()
    }

    /// Answers the requests that have reached their time limit with an error, and has the
    /// backend cancel them.
    pub(super) fn strike_limits(&mut self, now: Instant, why: &str, aftermath: &mut Aftermath) {
        while let Some(limits) = &mut self.time_limits
            && let Some(Request { stream, id, .. }) = limits.pop_due(now)
        {
            if self.core.stream_of(&id) != Some(stream) {
                continue;
            }
            aftermath.happened.push(Happened::TimedOut { request: id.clone() });
            self.say(render::cancelled(&id), aftermath);
            let error = render::error(Some(&id), render::INTERNAL_ERROR, why);
            let message = message::with_head(Head::Error { id: Some(id) }, error);
            // Only a closed session rejects it.
            let _ =
                self.handle(now, Input::BackendMessage { message, related: None }, None, aftermath);
        }
    }

    /// Ends the session, unless something is in flight in it.
    pub(super) fn end_if_quiet(
        &mut self,
        now: Instant,
        retry: Duration,
        aftermath: &mut Aftermath,
    ) {
        if self.core.close_reason().is_some() || self.is_busy() {
            return;
        }
        let close = Input::Disconnect { stream: StreamId::Standalone, retry: Some(retry) };
        // An error says that nobody is connected who could come back.
        let _ = self.handle(now, close, None, aftermath);
        let close = Input::CloseSession { reason: CloseReason::ServerShutdown };
        let _ = self.handle(now, close, None, aftermath);
    }

    /// Ends the session, whose backend is gone, unless a connection has still to send what the
    /// backend said. A reader that stops is disconnected after `stall_disconnect_timeout`.
    pub(super) fn end_if_gone(&mut self, now: Instant, aftermath: &mut Aftermath) {
        let has_backlog = |connection| self.core.has_backlog(connection);
        if self.core.connections().any(has_backlog) {
            return;
        }
        aftermath.gone = self.gone.take().and_then(|gone| gone.why);
        // Only a closed session rejects it.
        let _ = self.handle(now, Input::BackendGone, None, aftermath);
    }

    /// Returns an error where the backend is gone.
    pub(super) fn check_backend(&self) -> Result<(), Rejection> {
        match self.gone {
            Some(_) => Err(Rejection::Closed(CloseReason::BackendGone)),
            None => Ok(()),
        }
    }

    /// Returns whether a request is in flight, or its answer is still being sent.
    fn is_busy(&self) -> bool {
        let is_request =
            |connection| matches!(self.core.stream_on(connection), Some(StreamId::Request(_)));
        self.core.initialized().is_some()
            && (self.core.pending_requests() > 0 || self.core.connections().any(is_request))
    }

    /// Gives up a core that has panicked: one that is closed takes its place, so that
    /// nothing asks the other one again.
    pub(super) fn give_up(
        &mut self,
        config: &ValidConfig,
        now: Instant,
        aftermath: &mut Aftermath,
    ) {
        self.core = Session::new(config.clone(), now);
        #[cfg(feature = "journal")]
        {
            self.recorder = None;
        }
        let close = Input::CloseSession { reason: CloseReason::Cancelled };
        let _ = self.handle(now, close, None, aftermath);
    }

    /// Returns what is to be said of a client that came back after `id`.
    pub(super) fn resumed(&self, id: EventId) -> Happened {
        let (stream, after) = (id.stream, id.index);
        let log = self.core.log(stream);
        let replayed = log.map_or(0, |log| log.range(after.saturating_add(1)..u64::MAX).count());
        Happened::Resumed { stream, after, replayed }
    }

    /// Returns whether something that is sent on a connection is heard.
    pub(super) fn is_connected(&self, connection: ConnectionId) -> bool {
        self.channels.get(connection).is_some_and(|channel| !channel.is_ended())
    }

    /// Returns an error where the session is closed: by what the client has just said, or
    /// the client would have been told before.
    pub(super) fn check_open(&self) -> Result<(), Rejection> {
        match self.core.close_reason() {
            Some(reason) => Err(Rejection::Closed(reason)),
            None => Ok(()),
        }
    }

    fn carry_out(
        &mut self,
        actions: &mut Actions<Bytes>,
        mut room: Option<&mut Room<'_>>,
        aftermath: &mut Aftermath,
    ) {
        let (closed, gone) = (self.core.close_reason(), aftermath.gone.take());
        let event_of = |id, event| event_of(id, event, closed, gone.as_deref());
        for action in actions.drain() {
            match action {
                Action::Forward { message } => {
                    if let Some(room) = room.as_deref_mut() {
                        aftermath.wake(self.outbox.forward(message, room));
                        aftermath.has_mail = true;
                    }
                }
                Action::Send { connection, index, id, event } => {
                    self.push(connection, event_of(id, event), Some(index), aftermath);
                }
                Action::Replay { connection, stream, range } => {
                    let Some(channel) = self.channels.get_mut(connection) else { continue };
                    for logged in self.core.replay(stream, range) {
                        let id = Some(EventId::new(stream, logged.index));
                        let event = event_of(id, logged.entry.to_event());
                        aftermath.wake(channel.push(event, Some(logged.index)));
                    }
                }
                Action::Gap { connection, stream, missed } => {
                    let (first, last) = (*missed.start(), *missed.end());
                    aftermath.happened.push(Happened::Gap { stream, first, last });
                    let logs = self.core.initialized().is_some_and(|answer| answer.logging);
                    let notification = logs.then(|| render::gap(stream, &missed));
                    self.push(connection, SseEvent::Gap { missed, notification }, None, aftermath);
                }
                Action::Discard { connection } => {
                    if let Some(channel) = self.channels.get_mut(connection) {
                        aftermath.wake(channel.discard());
                    }
                }
                Action::Close { connection, reason } => {
                    if !reason.drains() || log::tells_of_ends() {
                        aftermath.happened.push(Happened::Ended { connection, reason });
                    }
                    if let Some(channel) = self.channels.get_mut(connection) {
                        aftermath.wake(channel.end(reason));
                    }
                }
                Action::FailServerRequest { id, reason } => {
                    self.say(render::unanswered(&id, reason), aftermath);
                }
                Action::CancelRequest { id } => self.say(render::cancelled(&id), aftermath),
                Action::Release { stream } => {
                    let released = self.held.extract_if(.., |(held, _)| *held == stream);
                    aftermath.released.extend(released.map(|(_, sender)| sender));
                }
                Action::SessionClosed { reason } => {
                    aftermath.wake(self.outbox.end());
                    aftermath.has_mail = true;
                    for channel in self.channels.iter_mut() {
                        aftermath.wake(channel.end(EndReason::SessionClosed));
                    }
                    aftermath.released.extend(self.held.drain(..).map(|(_, sender)| sender));
                    let (was_opened, progress_dropped) = (self.is_opened, self.progress_dropped);
                    aftermath.closed = Some(Closed { reason, was_opened, progress_dropped });
                }
                Action::Report(report) => {
                    if matches!(report, Report::UnknownProgressToken { .. }) {
                        self.progress_dropped = self.progress_dropped.saturating_add(1);
                    }
                    aftermath.happened.push(Happened::Reported(report));
                }
            }
        }
    }

    /// Hands a message of the session itself to the backend.
    pub(super) fn say(&self, message: Bytes, aftermath: &mut Aftermath) {
        aftermath.has_mail = true;
        match self.outbox.say(message) {
            Ok(waker) => aftermath.wakers.extend(waker),
            Err(Flooded) => aftermath.is_flooded = true,
        }
    }

    fn push(
        &mut self,
        connection: ConnectionId,
        event: SseEvent,
        index: Option<u64>,
        aftermath: &mut Aftermath,
    ) {
        if let Some(channel) = self.channels.get_mut(connection) {
            aftermath.wake(channel.push(event, index));
        }
    }
}

fn event_of(
    id: Option<EventId>,
    event: Event<Bytes>,
    closed: Option<CloseReason>,
    gone: Option<&str>,
) -> SseEvent {
    match event {
        Event::Message(data) => SseEvent::Message { id, data },
        Event::Failure(failure) => {
            SseEvent::Message { id, data: render::failure(&failure, closed, gone) }
        }
        Event::Priming { retry } => SseEvent::Priming { id, retry },
    }
}
