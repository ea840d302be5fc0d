//! Pending requests of the client, and server requests.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
};
use core::ops::Bound;

use slab::Slab;

use super::{
    Session,
    stream::{Outcome, StreamKey, answered_last},
};
use crate::{
    Action, Actions, Entry, Failure, FailureReason, ProgressToken, Report, RequestId,
    RequestOutcome, StreamId, capacity,
    id_map::IdMap,
    timers::{Key, TimerKey, TimerKind, to_key},
};

/// The requests of the client.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Pending requests, excluding `initialize`: at most `pending_requests_max`.
    pub(crate) pending: IdMap<RequestId, StreamKey>,
    /// Progress tokens of pending requests.
    pub(crate) tokens: IdMap<ProgressToken, StreamKey>,
    /// Reserved ids of cancelled requests: together with the pending ones, at most
    /// `pending_requests_max` plus `cancelled_requests_max`.
    pub(crate) cancelled: CancelledIds,
    /// Progress tokens of tasks.
    pub(crate) tasks: TaskTokens,
}

/// The progress tokens of requests whose responses created tasks, which stay valid as long as
/// the tasks. A backend need not announce the end of a task, so the latest tokens are kept: at
/// most `pending_requests_max`.
///
/// Specification: MCP 2025-11-25, Utilities, "Progress".
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "most sessions have no tasks, and a box is smaller")]
pub(crate) struct TaskTokens(Option<Box<VecDeque<ProgressToken>>>);

/// The reserved ids of cancelled requests.
#[derive(Debug)]
pub(crate) struct CancelledIds(Option<Box<CancelledIdTables>>);

#[derive(Debug, Default)]
struct CancelledIdTables {
    slab: Slab<(RequestId, TimerKey)>,
    ids: BTreeMap<RequestId, Key>,
}

/// The server requests without a response.
#[derive(Debug)]
pub(crate) struct ServerRequests(Option<Box<ServerRequestTables>>);

#[derive(Debug, Default)]
struct ServerRequestTables {
    slab: Slab<ServerRequest>,
    ids: BTreeMap<RequestId, ServerRequestKey>,
    by_event: BTreeMap<(StreamId, u64), ServerRequestKey>,
}

/// Identifies a server request without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerRequestKey(pub(crate) Key);

/// A server request without a response.
#[derive(Debug)]
pub(crate) struct ServerRequest {
    pub(crate) id: RequestId,
    pub(crate) stream: StreamId,
    pub(crate) index: u64,
    /// The delivery timer, or the response timer.
    pub(crate) timer: Option<TimerKey>,
    /// Whether it was acknowledged, and awaits its response.
    pub(crate) was_delivered: bool,
}

impl Requests {
    pub(crate) const fn new() -> Self {
        Self {
            pending: IdMap::new(),
            tokens: IdMap::new(),
            cancelled: CancelledIds(None),
            tasks: TaskTokens(None),
        }
    }

    pub(crate) fn is_in_use(&self, id: &RequestId) -> bool {
        self.pending.contains(id) || self.cancelled.find(id).is_some()
    }

    /// Returns the stream of the pending request, if there is exactly one.
    pub(crate) fn sole_pending(&self) -> Option<StreamKey> {
        self.pending.sole().map(|(_, stream)| stream)
    }
}

impl TaskTokens {
    pub(crate) fn contains(&self, token: &ProgressToken) -> bool {
        self.0.as_deref().is_some_and(|tokens| tokens.contains(token))
    }

    /// Adds a token, and drops the oldest ones beyond `max`.
    pub(crate) fn add(&mut self, token: ProgressToken, max: usize) {
        let tokens = self.0.get_or_insert_default();
        tokens.push_back(token);
        while tokens.len() > max {
            tokens.pop_front();
        }
    }

    pub(crate) fn remove(&mut self, token: &ProgressToken) {
        if let Some(tokens) = self.0.as_deref_mut() {
            tokens.retain(|other| other != token);
        }
    }

    /// Removes all tokens.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// Iterates over the tokens, oldest first.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ProgressToken> {
        self.0.as_deref().into_iter().flatten()
    }
}

impl CancelledIds {
    pub(crate) fn find(&self, id: &RequestId) -> Option<Key> {
        self.0.as_deref()?.ids.get(id).copied()
    }

    /// Adds an id, with the timer that `insert_timer` returns for its key. Returns whether the
    /// id is new.
    pub(crate) fn add(
        &mut self,
        id: RequestId,
        insert_timer: impl FnOnce(Key) -> TimerKey,
    ) -> bool {
        let tables = self.0.get_or_insert_default();
        let entry = tables.slab.vacant_entry();
        let key = to_key(entry.key());
        entry.insert((id.clone(), insert_timer(key)));
        tables.ids.insert(id, key).is_none()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<TimerKey> {
        let tables = self.0.as_deref_mut()?;
        let (id, timer) = tables.slab.try_remove(key as usize)?;
        tables.ids.remove(&id);
        capacity::shrink_slab(&mut tables.slab);
        Some(timer)
    }

    /// Removes all ids. Returns their timers.
    pub(crate) fn take_timers(&mut self) -> impl Iterator<Item = TimerKey> {
        let tables = self.0.take();
        tables.into_iter().flat_map(|tables| tables.slab.into_iter().map(|(_, (_, timer))| timer))
    }

    #[cfg(feature = "serde")]
    pub(crate) fn id(&self, key: Key) -> Option<&RequestId> {
        let (id, _) = self.0.as_deref()?.slab.get(key as usize)?;
        Some(id)
    }
}

impl ServerRequests {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_deref().map_or(0, |tables| tables.ids.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over the ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &RequestId> {
        self.0.as_deref().into_iter().flat_map(|tables| tables.ids.keys())
    }

    pub(crate) fn find(&self, id: &RequestId) -> Option<ServerRequestKey> {
        self.0.as_deref()?.ids.get(id).copied()
    }

    #[inline]
    pub(crate) fn at_event(&self, stream: StreamId, index: u64) -> Option<ServerRequestKey> {
        self.0.as_deref()?.by_event.get(&(stream, index)).copied()
    }

    /// Returns the first server request on `stream` after `index`.
    pub(crate) fn next_after(
        &self,
        stream: StreamId,
        index: u64,
    ) -> Option<(u64, ServerRequestKey)> {
        let after = (Bound::Excluded((stream, index)), Bound::Included((stream, u64::MAX)));
        let ((_, next), key) = self.0.as_deref()?.by_event.range(after).next()?;
        Some((*next, *key))
    }

    pub(crate) fn stream_of(&self, key: ServerRequestKey) -> Option<StreamId> {
        self.0.as_deref()?.slab.get(key.0 as usize).map(|request| request.stream)
    }

    pub(crate) fn get(&self, key: ServerRequestKey) -> Option<&ServerRequest> {
        self.0.as_deref()?.slab.get(key.0 as usize)
    }

    pub(crate) fn get_mut(&mut self, key: ServerRequestKey) -> Option<&mut ServerRequest> {
        self.0.as_deref_mut()?.slab.get_mut(key.0 as usize)
    }

    pub(crate) fn add(&mut self, request: ServerRequest) {
        let tables = self.0.get_or_insert_default();
        let (id, event) = (request.id.clone(), (request.stream, request.index));
        let key = ServerRequestKey(to_key(tables.slab.insert(request)));
        tables.ids.insert(id, key);
        tables.by_event.insert(event, key);
    }

    pub(crate) fn remove(&mut self, key: ServerRequestKey) -> Option<ServerRequest> {
        let tables = self.0.as_deref_mut()?;
        let request = tables.slab.try_remove(key.0 as usize)?;
        tables.ids.remove(&request.id);
        tables.by_event.remove(&(request.stream, request.index));
        capacity::shrink_slab(&mut tables.slab);
        Some(request)
    }

    #[cfg(feature = "serde")]
    pub(crate) fn id(&self, key: Key) -> Option<&RequestId> {
        let request = self.0.as_deref()?.slab.get(key as usize)?;
        Some(&request.id)
    }

    /// Iterates over the server requests, by stream and index.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServerRequest> {
        let tables = self.0.as_deref().into_iter();
        tables.flat_map(|tables| {
            tables.by_event.values().filter_map(|key| tables.slab.get(key.0 as usize))
        })
    }
}

impl<C, S> Session<C, S> {
    /// Records the outcome of a pending request, and releases its id and token. Returns its
    /// stream, and the token.
    pub(super) fn resolve(
        &mut self,
        id: &RequestId,
        outcome: RequestOutcome,
        out: &mut Actions<C, S>,
    ) -> Option<(StreamKey, Option<ProgressToken>)> {
        let key = self.requests.pending.remove(id)?;
        let stream = &mut self.streams[key];
        let resolved = match outcome {
            RequestOutcome::Cancelled | RequestOutcome::Abandoned => Outcome::Cancelled,
            RequestOutcome::Result
            | RequestOutcome::Error
            | RequestOutcome::TooLarge
            | RequestOutcome::Orphaned
            | RequestOutcome::BackendLost => answered_last(&stream.log),
        };
        let token = stream.resolve(id, resolved);
        if let Some(token) = &token {
            self.requests.tokens.remove(token);
        }
        if self.config.activity_reports {
            let (stream, id) = (stream.id, id.clone());
            out.push(Action::Report(Report::RequestEnded { stream, id, outcome }));
        }
        Some((key, token))
    }

    /// Reserves the id of a cancelled request for a while, so that it is not reused.
    pub(super) fn reserve_id(&mut self, id: RequestId) {
        let deadline = self.now.deadline_after(self.config.timeouts().cancelled);
        let timers = &mut self.timers;
        self.requests.cancelled.add(id, |key| timers.insert(TimerKind::Cancelled, key, deadline));
    }

    /// Releases the reserved id of a cancelled request.
    pub(super) fn release_id(&mut self, key: Key) {
        if let Some(timer) = self.requests.cancelled.remove(key) {
            self.timers.remove(timer);
        }
    }

    /// Removes a server request and its timer.
    pub(super) fn remove_server_request(&mut self, key: ServerRequestKey) -> Option<ServerRequest> {
        let request = self.server_requests.remove(key)?;
        if let Some(timer) = request.timer {
            self.timers.remove(timer);
        }
        Some(request)
    }
}

/// Returns the log entry for a request whose response will never arrive.
pub(super) fn failure<S>(id: RequestId, reason: FailureReason) -> Entry<S> {
    Entry::Failure(Failure { id, reason })
}
