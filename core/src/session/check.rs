//! Validation of inputs, without side effects.

use alloc::collections::BTreeSet;
use core::time::Duration;

use super::{
    Phase, Session,
    connection::ConnectionKey,
    stream::{STANDALONE, Stage, StreamKey, StreamRef},
};
use crate::{
    ApiMisuse, BackendFault, ClientFault, ConcurrentGet, ConnectionId, EventId, Head, Input,
    Message, Method, Post, Rejection, RequestId, StreamId, timers::TimerKind,
};

/// Returns whether an accepted input restarts the idle time. An active backend does not keep open
/// a session that its client has left.
pub(super) fn is_activity<C, S>(input: &Input<C, S>, is_idle: bool) -> bool {
    match input {
        Input::Post { .. }
        | Input::Get { .. }
        | Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::Abandon { .. }
        | Input::Delete
        | Input::CloseSession { .. }
        | Input::BackendGone
        | Input::BackendLost => true,
        Input::BackendMessage { .. } | Input::Disconnect { .. } => !is_idle,
        Input::LimitBytes { .. } | Input::Drain { .. } | Input::Committed { .. } | Input::Tick => {
            false
        }
    }
}

/// Returns whether an input is a POST or a GET of the client.
pub(super) fn is_from_client<C, S>(input: &Input<C, S>) -> bool {
    match input {
        Input::Post { .. } | Input::Get { .. } => true,
        Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::Abandon { .. }
        | Input::Delete
        | Input::CloseSession { .. }
        | Input::BackendMessage { .. }
        | Input::Disconnect { .. }
        | Input::BackendGone
        | Input::BackendLost
        | Input::Committed { .. }
        | Input::LimitBytes { .. }
        | Input::Drain { .. }
        | Input::Tick => false,
    }
}

/// Returns whether the client's first input is not `initialize`.
pub(super) fn violates_handshake<C, S>(input: &Input<C, S>) -> bool {
    if let Input::Post { post, .. } = input {
        return initialize_id(post).is_none();
    }
    is_from_client(input)
}

/// What an accepted POST does.
pub(super) enum PostEffect {
    /// It is `initialize`, the request with this id.
    Initializes { id: RequestId },
    /// It has a request: a stream opens.
    OpensStream,
    /// It has only notifications and responses.
    OpensNothing,
}

/// What an accepted GET does.
#[derive(Clone, Copy)]
pub(super) enum GetEffect {
    /// It has no event id, and attaches to the standalone stream, or is its shadow.
    Attaches,
    /// It resumes a stream after an index.
    Resumes { stream: StreamKey, index: u64 },
    /// It resumes a stream of which only a tombstone is left.
    Revives { number: u64, index: u64 },
}

impl<C, S> Session<C, S> {
    /// Checks a POST. Returns what it does.
    pub(super) fn check_post(
        &self,
        connection: ConnectionId,
        post: &Post<C>,
    ) -> Result<PostEffect, Rejection> {
        if self.drain_retry.is_some() && post.has_request() {
            return Err(Rejection::Draining);
        }
        self.check_phase(post)?;
        let messages = post.messages();
        if messages.is_empty() {
            return Err(ClientFault::BatchEmpty.into());
        }
        if post.has_request() {
            self.check_unused(connection)?;
        }
        self.check_batch(post)?;
        let requests = self.check_messages(messages)?;
        if let Some(id) = initialize_id(post) {
            return Ok(PostEffect::Initializes { id: id.clone() });
        }
        if requests == 0 {
            return Ok(PostEffect::OpensNothing);
        }
        self.check_request_limits(requests)?;
        self.check_capacity()?;
        Ok(PostEffect::OpensStream)
    }

    /// Checks a GET. Returns what it does.
    pub(super) fn check_get(
        &self,
        connection: ConnectionId,
        last_event_id: Option<EventId>,
    ) -> Result<GetEffect, Rejection> {
        self.check_initialized()?;
        self.check_unused(connection)?;
        let effect = match last_event_id {
            Some(id) => self.check_resume(id)?,
            None => self.check_concurrent_get()?,
        };
        if !self.replaces_connection(&effect) {
            self.check_connections()?;
        }
        Ok(effect)
    }

    pub(super) fn check_abandon(&self, stream: StreamId) -> Result<StreamKey, Rejection> {
        match self.streams.find(stream) {
            Some(key) if key != STANDALONE => Ok(key),
            Some(_) | None => Err(ApiMisuse::UnknownStream(stream).into()),
        }
    }

    pub(super) fn check_backend_message(&self, message: &Message<S>) -> Result<(), Rejection> {
        let max = self.config.message_bytes_max;
        // A response is replaced with a failure instead: the client waits for it.
        let is_response = matches!(message.head, Head::Response { .. } | Head::Error { .. });
        if message.bytes > max && !is_response {
            return Err(BackendFault::MessageTooLarge { max }.into());
        }
        if let Head::Request { id, .. } = &message.head {
            if self.server_requests.find(id).is_some() {
                return Err(BackendFault::RequestIdInUse(id.clone()).into());
            }
            let max = self.config.server_requests_max;
            if self.server_requests.len() >= max {
                return Err(BackendFault::TooManyRequests { max }.into());
            }
        }
        Ok(())
    }

    pub(super) fn check_disconnect(
        &self,
        id: StreamId,
        retry: Option<Duration>,
    ) -> Result<StreamKey, Rejection> {
        let key = self
            .streams
            .find(id)
            .filter(|key| self.streams[*key].is_open())
            .ok_or(ApiMisuse::StreamNotOpen(id))?;
        match self.streams[key].attached() {
            Some(connection) if key != STANDALONE => {
                if self.may_disconnect(key, connection, retry)
                    || self.awaits_commit(key, connection)
                {
                    Ok(key)
                } else {
                    Err(ApiMisuse::NothingToResumeFrom(id).into())
                }
            }
            Some(_) | None => Ok(key),
        }
    }

    /// Returns whether the client of a request stream has an event id to resume after, or gets one
    /// with the retry.
    fn may_disconnect(
        &self,
        stream: StreamKey,
        connection: ConnectionKey,
        retry: Option<Duration>,
    ) -> bool {
        let will_prime =
            || retry.is_some() && self.uses_priming() && self.may_send_next(stream, connection);
        self.connections[connection].can_resume || will_prime()
    }

    pub(super) fn check_committed(&self, through: u64) -> Result<(), Rejection> {
        if through > self.sequence {
            return Err(ApiMisuse::CommittedUnrecorded(through).into());
        }
        Ok(())
    }

    fn check_initialized(&self) -> Result<(), ClientFault> {
        match self.phase {
            Phase::Live => Ok(()),
            Phase::New | Phase::Initializing { .. } | Phase::Closed(_) => {
                Err(ClientFault::NotInitialized)
            }
        }
    }

    /// Checks a POST against the phase of the session.
    fn check_phase(&self, post: &Post<C>) -> Result<(), ClientFault> {
        match (&self.phase, single_method(post)) {
            (Phase::New, Some(Method::Initialize { .. }))
            | (Phase::Initializing { .. }, Some(Method::Ping)) => Ok(()),
            (_, Some(Method::Initialize { .. })) => Err(ClientFault::AlreadyInitialized),
            (Phase::Live, _) => Ok(()),
            (Phase::New | Phase::Initializing { .. } | Phase::Closed(_), _) => {
                Err(ClientFault::NotInitialized)
            }
        }
    }

    fn check_unused(&self, connection: ConnectionId) -> Result<(), ApiMisuse> {
        match self.connections.find(connection) {
            Some(_) => Err(ApiMisuse::ConnectionInUse(connection)),
            None => Ok(()),
        }
    }

    fn check_batch(&self, post: &Post<C>) -> Result<(), ClientFault> {
        let messages = match post {
            Post::Single(_) => return Ok(()),
            Post::Batch(messages) => messages,
        };
        if !self.profile().batches {
            return Err(ClientFault::BatchNotAllowed);
        }
        let max = self.config.batch_max;
        if messages.len() > max {
            return Err(ClientFault::BatchTooLong { max });
        }
        let is_initialize = |head: &Head| matches!(method(head), Some(Method::Initialize { .. }));
        if messages.iter().any(|message| is_initialize(&message.head)) {
            return Err(ClientFault::InitializeInBatch);
        }
        Ok(())
    }

    /// Checks each message. Returns the number of requests.
    fn check_messages(&self, messages: &[Message<C>]) -> Result<usize, ClientFault> {
        let mut requests = 0;
        // A single message needs no sets.
        let mut seen = (messages.len() > 1).then(|| (BTreeSet::new(), BTreeSet::new()));
        for message in messages {
            self.check_size(message)?;
            let Head::Request { id, progress_token, .. } = &message.head else {
                continue;
            };
            requests += 1;
            let is_initialize = matches!(
                &self.phase,
                Phase::Initializing { id: initialize, .. } if initialize == id
            );
            let is_repeated = seen.as_mut().is_some_and(|(ids, _)| !ids.insert(id));
            if is_initialize || is_repeated || self.requests.is_in_use(id) {
                return Err(ClientFault::RequestIdInUse(id.clone()));
            }
            if let Some(token) = progress_token {
                let is_repeated = seen.as_mut().is_some_and(|(_, tokens)| !tokens.insert(token));
                if is_repeated || self.requests.tokens.contains(token) {
                    return Err(ClientFault::ProgressTokenInUse(token.clone()));
                }
            }
        }
        Ok(requests)
    }

    /// Checks the limits for `requests` more requests. Cancelled requests, on which the backend
    /// may still work, have a limit of their own; those beyond it count as pending.
    fn check_request_limits(&self, requests: usize) -> Result<(), ClientFault> {
        let max = self.config.pending_requests_max;
        let pending = self.requests.pending.len() + requests;
        if pending > max {
            return Err(ClientFault::TooManyRequests { max });
        }
        let cancelled = self.timers.weight(TimerKind::Cancelled);
        if pending + cancelled > max.saturating_add(self.config.cancelled_requests_max) {
            return Err(ClientFault::TooManyCancelled { max: self.config.cancelled_requests_max });
        }
        Ok(())
    }

    fn check_size(&self, message: &Message<C>) -> Result<(), ClientFault> {
        let max = self.config.message_bytes_max;
        if message.bytes > max { Err(ClientFault::MessageTooLarge { max }) } else { Ok(()) }
    }

    fn check_resume(&self, id: EventId) -> Result<GetEffect, ClientFault> {
        let EventId { stream, index } = id;
        let (effect, last, needs_slot) = match stream {
            StreamId::Standalone => {
                let last = self.last_committed(STANDALONE);
                (GetEffect::Resumes { stream: STANDALONE, index }, last, false)
            }
            StreamId::Request(number) => match self.streams.lookup(number) {
                Some(StreamRef::Stream(key)) => {
                    let needs_slot = match self.streams[key].stage() {
                        Stage::Standalone | Stage::Open { .. } | Stage::Complete { .. } => false,
                        Stage::Retained { .. } => true,
                    };
                    let last = self.last_committed(key);
                    (GetEffect::Resumes { stream: key, index }, last, needs_slot)
                }
                Some(StreamRef::Tombstone(tombstone)) if tombstone.was_cancelled() => {
                    return Err(ClientFault::CancelledStream(stream));
                }
                Some(StreamRef::Tombstone(tombstone)) => {
                    (GetEffect::Revives { number, index }, tombstone.last, true)
                }
                None if number < self.streams.next_number() => {
                    return Err(ClientFault::ExpiredStream(stream));
                }
                None => return Err(ClientFault::UnknownStream(stream)),
            },
        };
        if index > last {
            return Err(ClientFault::FutureEvent { stream, last });
        }
        if needs_slot {
            self.check_streams()?;
        }
        Ok(effect)
    }

    /// Returns whether a GET replaces another connection.
    fn replaces_connection(&self, effect: &GetEffect) -> bool {
        match *effect {
            GetEffect::Attaches | GetEffect::Resumes { stream: STANDALONE, .. } => false,
            GetEffect::Resumes { stream, .. } => {
                self.streams[stream].attached().is_some()
                    || self.streams[stream].draining().is_some()
            }
            GetEffect::Revives { number, .. } => {
                self.connections.draining_from_removed(StreamId::Request(number)).is_some()
            }
        }
    }

    fn check_concurrent_get(&self) -> Result<GetEffect, ClientFault> {
        let is_concurrent = self.streams[STANDALONE].attached().is_some();
        let is_rejected = match self.config.concurrent_get {
            ConcurrentGet::Shadow | ConcurrentGet::TakeOver => self.config.shadows_max == 0,
            ConcurrentGet::Reject => true,
        };
        if is_concurrent && is_rejected {
            return Err(ClientFault::StandaloneConflict);
        }
        Ok(GetEffect::Attaches)
    }

    fn check_capacity(&self) -> Result<(), Rejection> {
        self.check_streams()?;
        self.check_connections()
    }

    fn check_streams(&self) -> Result<(), ClientFault> {
        let max = self.config.streams_max;
        if self.streams.in_use() >= max { Err(ClientFault::TooManyStreams { max }) } else { Ok(()) }
    }

    fn check_connections(&self) -> Result<(), Rejection> {
        let max = self.config.connections_max;
        if self.connections.len() >= max {
            return Err(ClientFault::TooManyConnections { max }.into());
        }
        Ok(())
    }
}

/// Returns the id of the request, if a POST is `initialize`.
fn initialize_id<C>(post: &Post<C>) -> Option<&RequestId> {
    match post {
        Post::Single(Message {
            head: Head::Request { id, method: Method::Initialize { .. }, .. },
            ..
        }) => Some(id),
        Post::Single(_) | Post::Batch(_) => None,
    }
}

fn single_method<C>(post: &Post<C>) -> Option<Method> {
    match post {
        Post::Single(message) => method(&message.head),
        Post::Batch(_) => None,
    }
}

fn method(head: &Head) -> Option<Method> {
    match head {
        Head::Request { method, .. } => Some(*method),
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
    }
}
