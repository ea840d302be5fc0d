//! Pending requests of the client, and the responses that the child meant for them.

use bytes::Bytes;
use rejoin_core::{Head, IdValue, RequestId};

use super::repair;
use crate::ClientSender;

/// The client's requests that the child has not answered.
pub(super) trait PendingRequests {
    fn contains(&self, id: &RequestId) -> bool;

    /// Returns the only pending request, if there is exactly one.
    fn only(&self) -> Option<RequestId>;
}

impl PendingRequests for ClientSender {
    fn contains(&self, id: &RequestId) -> bool {
        self.is_pending(id)
    }

    fn only(&self) -> Option<RequestId> {
        self.sole_pending_request()
    }
}

/// Restores the id of a response to the one that the client sent, if the child has turned a
/// number into a string or the reverse, or has omitted the id of an error.
pub(super) fn restore_request_id(
    head: Head,
    body: Bytes,
    pending: &impl PendingRequests,
) -> (Head, Bytes) {
    let id = match &head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => find_pending(id, pending),
        Head::Error { id: None } => pending.only(),
        Head::Request { .. } | Head::Notification(_) => None,
    };
    let id = id.filter(|id| Some(id) != answered_request(&head));
    match id.and_then(|id| Some((repair::with_id(&body, &id)?, id))) {
        Some((body, request)) => {
            let mut head = head;
            match &mut head {
                Head::Response { id, .. } => *id = request,
                Head::Error { id } => *id = Some(request),
                Head::Request { .. } | Head::Notification(_) => {}
            }
            (head, body)
        }
        None => (head, body),
    }
}

/// Returns the request that a message answers.
pub(super) fn answered_request(head: &Head) -> Option<&RequestId> {
    match head {
        Head::Response { id, .. } | Head::Error { id: Some(id) } => Some(id),
        Head::Error { id: None } | Head::Request { .. } | Head::Notification(_) => None,
    }
}

/// Returns the pending request with this id, or with this id as a string instead of a number or
/// the reverse.
pub(super) fn find_pending(id: &RequestId, pending: &impl PendingRequests) -> Option<RequestId> {
    if pending.contains(id) {
        return Some(id.clone());
    }
    let other_form = match id.value() {
        IdValue::Integer(integer) => RequestId::try_from(integer.to_string().as_str()).ok()?,
        IdValue::Text(text) => text.parse::<i64>().ok()?.into(),
    };
    pending.contains(&other_form).then_some(other_form)
}
