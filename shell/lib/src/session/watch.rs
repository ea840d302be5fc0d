//! A session as somebody watches it: its state, and then each input with what it caused.

use std::{sync::Arc, time::Duration};

use rejoin_core::{
    Action, Actions, ConnectionId, EventId, Head, Input, Instant, Rejection, RequestId, Session,
    StreamId, StreamSummary,
};
use thiserror::Error;

use super::{
    SessionHandle, SessionStats, inner::SessionInner, state::LockedSession,
    watch_queue::SessionWatch,
};
use crate::{
    observer::ObservedRequest,
    payload::{Payload, ServerPayload},
};

/// A session when a watch of it begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WatchStart {
    /// The session.
    pub stats: SessionStats,
    /// The standalone stream, and then the request streams by number.
    pub streams: Vec<StreamSummary>,
    /// The open connections, with the stream that each is attached to.
    pub connections: Vec<(ConnectionId, Option<StreamId>)>,
    /// The requests that are pending. Only with an observer.
    pub requests: Vec<WatchedRequest>,
    /// The last events, at most 64, that are errors of rejoin in place of responses that took too
    /// long. Only with an observer.
    pub timed_out: Vec<EventId>,
}

/// A request that is pending when a watch begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WatchedRequest {
    /// The request.
    pub request: Arc<ObservedRequest>,
    /// Its stream; `None` for `initialize`.
    pub stream: Option<StreamId>,
    /// When it began: time since the creation of the session.
    pub at: Duration,
}

/// An input of a session, and what it caused. It never contains the body of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WatchedStep {
    /// Time since the creation of the session.
    pub at: Duration,
    /// The input.
    pub input: Input<()>,
    /// The requests that the input begins. Only with an observer.
    pub requests: Vec<Arc<ObservedRequest>>,
    /// The request that has timed out, if the message of the input is the error that rejoin sends
    /// in place of a response. Only with an observer.
    pub timed_out: Option<RequestId>,
    /// The process whose end, or that of its output, is the input, if it is one.
    pub ended_process: Option<i32>,
    /// Why the input was rejected, if it was.
    pub rejection: Option<Rejection>,
    /// What the session has required, with the heads of the messages that it sends.
    pub actions: Vec<Action<(), Option<Head>>>,
    /// The event that holds the message of the input, if that is a message of the backend.
    pub recorded: Option<EventId>,
    /// The stream that the connection of the input is attached to after it, if that is a POST or a
    /// GET. A GET without one is a shadow.
    pub attached_to: Option<StreamId>,
    /// The connection that is attached to the standalone stream after it.
    pub standalone: Option<ConnectionId>,
}

/// Why a session is not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It is closed.
    #[error("the session is closed")]
    Closed,
    /// Too many others watch it.
    #[error("the session is watched by {0} others already")]
    TooMany(usize),
}

/// A step before the session has handled its input.
#[derive(Debug)]
pub(super) struct BegunStep {
    at: Duration,
    input: Input<()>,
    requests: Vec<Arc<ObservedRequest>>,
    timed_out: Option<RequestId>,
    ended_process: Option<i32>,
    before: LastEvents,
}

/// The last event of each stream.
#[derive(Debug)]
struct LastEvents(Vec<(StreamId, u64)>);

impl<P: Payload> SessionHandle<P> {
    /// Begins to watch the session, without any effect on it.
    ///
    /// # Errors
    ///
    /// The session is closed, or watched by too many others.
    pub fn watch(&self) -> Result<(WatchStart, SessionWatch), WatchError> {
        let stats = self.stats().ok_or(WatchError::Closed)?;
        self.inner().watch(stats)
    }
}

impl WatchedStep {
    /// Handles an input that was recorded, in a session that was created at `created_at`.
    pub fn replay(
        session: &mut Session<(), Option<Head>>,
        created_at: Instant,
        now: Instant,
        input: Input<()>,
    ) -> Self {
        let before = LastEvents::before(session, &input);
        let with_heads = input.map(|_, ()| (), |head, ()| Some(head.clone()));
        let mut actions = Actions::new();
        let rejected = session.handle(now, with_heads, &mut actions).err();
        let begun = BegunStep {
            at: now.since(created_at),
            input,
            requests: Vec::new(),
            timed_out: None,
            ended_process: None,
            before,
        };
        let rejection = rejected.map(|rejected| rejected.reason);
        begun.end(session, rejection, actions.drain().collect())
    }
}

impl<P: Payload> SessionInner<P> {
    fn watch(
        self: &Arc<Self>,
        stats: SessionStats,
    ) -> Result<(WatchStart, SessionWatch), WatchError> {
        self.with_lock(Err(WatchError::Closed), |locked| {
            if locked.core().close_reason().is_some() {
                return Err(WatchError::Closed);
            }
            let watch = locked.state.watchers.get_or_insert_default().add()?;
            let core = &locked.state.core;
            let start = WatchStart {
                stats: SessionStats { age: locked.now().since(locked.state.created_at), ..stats },
                streams: core.streams().collect(),
                connections: core.connections().map(|id| (id, core.stream_on(id))).collect(),
                requests: locked.watched_requests(),
                timed_out: locked.watched_timeouts(),
            };
            Ok((start, watch))
        })
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Begins a step, if the session is watched.
    pub(super) fn begin_watched_step(
        &self,
        now: Instant,
        input: &Input<P::Client, P::Server>,
    ) -> Option<BegunStep> {
        self.state.watchers.as_ref()?;
        Some(BegunStep {
            at: now.since(self.state.created_at),
            input: input.map(|_, _| (), |_, _| ()),
            requests: if let Input::Post { post, .. } = input {
                self.observed_requests(post.request_ids())
            } else {
                Vec::new()
            },
            timed_out: self.timed_out_by(input).cloned(),
            ended_process: self.ended_process(input),
            before: LastEvents::before(&self.state.core, input),
        })
    }

    /// Ends a step, and queues it for the watchers.
    pub(super) fn end_watched_step(
        &mut self,
        begun: BegunStep,
        rejection: Option<Rejection>,
        actions: &Actions<P::Client, P::Server>,
    ) {
        let actions = actions.iter().map(|action| action.map(|_| (), ServerPayload::head));
        let step = begun.end(&self.state.core, rejection, actions.collect());
        let Some(watchers) = &mut self.state.watchers else { return };
        self.after_unlock.wakers.extend(watchers.push(step));
        if watchers.is_empty() || self.state.core.close_reason().is_some() {
            self.after_unlock.wakers.extend(watchers.end());
            self.state.watchers = None;
        }
    }
}

impl BegunStep {
    fn end<C, S>(
        self,
        session: &Session<C, S>,
        rejection: Option<Rejection>,
        actions: Vec<Action<(), Option<Head>>>,
    ) -> WatchedStep {
        let Self { at, input, requests, timed_out, ended_process, before } = self;
        let attached_to =
            if let Input::Post { connection, .. } | Input::Get { connection, .. } = &input {
                session.stream_on(*connection)
            } else {
                None
            };
        WatchedStep {
            at,
            input,
            requests,
            timed_out,
            ended_process,
            rejection,
            actions,
            recorded: before.find_new(session),
            attached_to,
            standalone: session.streams().next().and_then(|standalone| standalone.attached),
        }
    }
}

impl LastEvents {
    /// Returns the last events before an input; none if it is no message of the backend.
    fn before<C, S, D, T>(session: &Session<C, S>, input: &Input<D, T>) -> Self {
        let is_message = matches!(input, Input::BackendMessage { .. });
        let streams = is_message.then(|| session.streams()).into_iter().flatten();
        Self(streams.map(|stream| (stream.id, stream.last)).collect())
    }

    /// Returns the first event that was recorded since.
    fn find_new<C, S>(&self, session: &Session<C, S>) -> Option<EventId> {
        let Self(before) = self;
        if before.is_empty() {
            return None;
        }
        // Both are in the same order. A message adds no stream, but its response may end one.
        let mut before = before.iter();
        session.streams().find_map(|now| {
            let (stream, last) = before.find(|(stream, _)| *stream == now.id)?;
            let index = last.saturating_add(1);
            (now.last >= index).then_some(EventId { stream: *stream, index })
        })
    }
}
