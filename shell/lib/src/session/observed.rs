//! The requests of a session, for an observer.

use std::{collections::VecDeque, sync::Arc};

use rejoin_core::{
    ConnectionId, EventId, Head, Input, Method, Post, RequestId, RequestOutcome, SessionCloseReason,
};
use smallvec::SmallVec;

use super::{
    WatchedRequest,
    begun::{Begun, BegunRequests},
    state::LockedSession,
};
use crate::{
    log,
    observer::{ObservedRequest, RequestEnd, ResponseFault, SessionEvent},
    payload::Payload,
};

/// The requests of a session that have not ended.
#[derive(Debug, Default)]
pub(super) struct ObservedRequests {
    requests: BegunRequests,
    /// The id of `initialize`, until it is answered.
    initialize: Option<RequestId>,
    /// Name and version of the client.
    pub(super) client: Option<Box<str>>,
    /// What is known of the end of a request before the core reports it.
    noted: Option<(RequestId, Noted)>,
    /// The last errors in place of responses that took too long, at most [`TIMED_OUT_MAX`].
    timed_out: VecDeque<EventId>,
}

/// Maximum number of errors that are known to those who begin to watch a session.
const TIMED_OUT_MAX: usize = 64;

#[derive(Debug)]
enum Noted {
    Response(ResponseFault),
    End(RequestEnd),
}

impl<P: Payload> LockedSession<'_, P> {
    /// Returns what is known of these requests.
    pub(super) fn observed_requests<'a>(
        &self,
        ids: impl Iterator<Item = &'a RequestId>,
    ) -> Vec<Arc<ObservedRequest>> {
        let Some(observed) = &self.state.observed else { return Vec::new() };
        ids.filter_map(|id| Some(Arc::clone(&observed.requests.get(id)?.request))).collect()
    }

    /// Returns the requests that are pending, for somebody who begins to watch the session.
    pub(super) fn watched_requests(&self) -> Vec<WatchedRequest> {
        let requests = self.state.observed.iter().flat_map(|observed| observed.requests.iter());
        let accepted = requests.filter(|begun| begun.is_accepted);
        let watched = accepted.map(|begun| WatchedRequest {
            request: Arc::clone(&begun.request),
            stream: self.state.core.stream_of(&begun.request.id),
            at: begun.at.since(self.state.created_at),
        });
        watched.collect()
    }

    /// Returns the events that are errors in place of responses that took too long, for somebody
    /// who begins to watch the session.
    pub(super) fn watched_timeouts(&self) -> Vec<EventId> {
        let observed = self.state.observed.iter();
        observed.flat_map(|observed| observed.timed_out.iter().copied()).collect()
    }

    /// Adds the requests of a POST, before the core handles it.
    pub(super) fn observe_begin(
        &mut self,
        post: &Post<P::Client>,
    ) -> SmallVec<[Arc<ObservedRequest>; 1]> {
        let at = self.now();
        let Some(observed) = &mut self.state.observed else { return SmallVec::new() };
        let mut requests = SmallVec::new();
        for message in post.messages() {
            let Head::Request { id, method, .. } = &message.head else { continue };
            let request = P::observed(id, &message.body);
            let begun = Begun { request: Arc::clone(&request), at, is_accepted: false };
            // The core rejects an id that is in use.
            if !observed.requests.insert(begun) {
                continue;
            }
            if let Method::Initialize { .. } = method {
                observed.initialize = Some(id.clone());
            }
            requests.push(request);
        }
        requests
    }

    /// Notes that the requests of a POST have begun, or that it was rejected.
    pub(super) fn observe_begun(
        &mut self,
        connection: ConnectionId,
        requests: SmallVec<[Arc<ObservedRequest>; 1]>,
        is_accepted: bool,
    ) {
        let Some(observed) = &mut self.state.observed else { return };
        let is_traced = self.session.shared.observers.traces_requests() || log::logs_requests();
        for request in requests {
            if !is_accepted {
                observed.requests.remove(&request.id);
                continue;
            }
            if let Some(begun) = observed.requests.get_mut(&request.id) {
                begun.is_accepted = true;
            }
            if is_traced {
                let stream = self.state.core.stream_of(&request.id);
                let event = SessionEvent::RequestBegan { request, stream, connection };
                self.after_unlock.events.push(event);
            }
        }
    }

    /// Notes what a response says, for the end that the core reports.
    pub(super) fn note_response(&mut self, head: &Head, fault: Option<ResponseFault>) {
        let Some(observed) = &mut self.state.observed else { return };
        observed.noted = match (head, fault) {
            (Head::Response { id, .. } | Head::Error { id: Some(id) }, Some(fault)) => {
                Some((id.clone(), Noted::Response(fault)))
            }
            _ => None,
        };
    }

    /// Notes how a request will end.
    pub(super) fn note_end(&mut self, id: &RequestId, end: RequestEnd) {
        if let Some(observed) = &mut self.state.observed {
            observed.noted = Some((id.clone(), Noted::End(end)));
        }
    }

    /// Notes that an event is the error in place of a response that took too long.
    pub(super) fn note_timeout(&mut self, error: EventId) {
        let Some(observed) = &mut self.state.observed else { return };
        if observed.timed_out.len() >= TIMED_OUT_MAX {
            observed.timed_out.pop_front();
        }
        observed.timed_out.push_back(error);
    }

    /// Returns the request that has timed out, if the input is the error in place of its response.
    pub(super) fn timed_out_by<'a>(
        &self,
        input: &'a Input<P::Client, P::Server>,
    ) -> Option<&'a RequestId> {
        let Input::BackendMessage { message, .. } = input else { return None };
        let Head::Error { id: Some(id) } = &message.head else { return None };
        let noted = self.state.observed.as_ref()?.noted.as_ref();
        let (noted, Noted::End(RequestEnd::TimedOut)) = noted? else { return None };
        (noted == id).then_some(id)
    }

    /// Handles the end of a request that the core reports.
    pub(super) fn observe_end(&mut self, id: &RequestId, outcome: RequestOutcome) {
        let Some(observed) = &mut self.state.observed else { return };
        let noted = observed.noted.take_if(|(noted, _)| noted == id).map(|(_, noted)| noted);
        let end = match noted {
            Some(Noted::End(end)) => end,
            Some(Noted::Response(fault)) => RequestEnd::new(outcome, Some(fault)),
            None => RequestEnd::new(outcome, None),
        };
        if let Some(request) = observed.requests.remove(id) {
            self.push_end(request, end);
        }
    }

    /// Ends the request `initialize`, which was answered.
    pub(super) fn observe_initialized(&mut self) {
        let Some(observed) = &mut self.state.observed else { return };
        let initialize = observed.initialize.take();
        if let Some(request) = initialize.and_then(|id| observed.requests.remove(&id)) {
            self.push_end(request, RequestEnd::Result);
        }
    }

    /// Ends all requests, because the session is closed.
    pub(super) fn observe_close(&mut self, reason: SessionCloseReason) {
        let Some(observed) = &mut self.state.observed else { return };
        let noted = observed.noted.take();
        for begun in std::mem::take(&mut observed.requests) {
            let end = match (&noted, reason) {
                (Some((noted, Noted::Response(fault))), SessionCloseReason::InitializeRejected)
                    if *noted == begun.request.id =>
                {
                    RequestEnd::new(RequestOutcome::Error, Some(*fault))
                }
                _ => RequestEnd::SessionClosed(reason),
            };
            // A timer may have closed the session before it.
            if begun.is_accepted {
                self.push_end(begun, end);
            }
        }
    }

    fn push_end(&mut self, begun: Begun, end: RequestEnd) {
        let Begun { request, at, .. } = begun;
        let duration = self.now().since(at);
        self.after_unlock.events.push(SessionEvent::RequestEnded { request, end, duration });
    }
}
