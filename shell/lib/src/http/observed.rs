//! What an observer is told of the requests of a POST.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use rejoin_core::{Head, Post, RequestDetails, RequestId};
use smallvec::SmallVec;

use crate::{ClientMessage, ObservedRequest, observer::Observers};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The requests of a POST, in order.
pub(super) struct ObservedRequests<'h> {
    traceparent: Option<&'h str>,
    requests: SmallVec<[Arc<ObservedRequest>; 1]>,
}

impl<'h> ObservedRequests<'h> {
    pub(super) fn new(observers: &Observers, headers: &'h HeaderMap) -> Self {
        let traceparent = observers.traces_requests().then(|| headers.get(TRACEPARENT)).flatten();
        let traceparent = traceparent.and_then(|value| value.to_str().ok());
        let traceparent =
            traceparent.filter(|text| text.len() <= RequestDetails::TRACEPARENT_BYTES_MAX);
        Self { traceparent, requests: SmallVec::new() }
    }

    pub(super) fn add(&mut self, id: &RequestId, details: RequestDetails) {
        let http_traceparent = self.traceparent.map(Box::from);
        let id = id.clone();
        self.requests.push(Arc::new(ObservedRequest { id, details, http_traceparent }));
    }

    /// Attaches the requests to their messages.
    pub(super) fn attach_to(self, post: &mut Post<ClientMessage>) {
        let messages = match post {
            Post::Single(message) => std::slice::from_mut(message),
            Post::Batch(messages) => messages,
        };
        let is_request = |head: &Head| matches!(head, Head::Request { .. });
        let requests = messages.iter_mut().filter(|message| is_request(&message.head));
        for (message, request) in requests.zip(self.requests) {
            message.body.set_observed(request);
        }
    }
}
