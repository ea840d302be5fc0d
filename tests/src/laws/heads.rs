//! Accessors for the messages and heads of an input.

use rejoin_core::{Head, Input, Message, Notification, RequestId};

/// Returns the messages of the client in an input.
#[must_use]
pub fn posted(input: &Input<u64>) -> &[Message<u64>] {
    match input {
        Input::Post { post, .. } => post.messages(),
        Input::Get { .. }
        | Input::Acknowledged { .. }
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
        | Input::Tick => &[],
    }
}

/// Returns the id of a request.
#[must_use]
pub fn request_id(head: &Head) -> Option<&RequestId> {
    match head {
        Head::Request { id, .. } => Some(id),
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
    }
}

/// Returns the id of the request that a response or error answers.
#[must_use]
pub fn answered_id(head: &Head) -> Option<&RequestId> {
    match head {
        Head::Response { id, .. } => Some(id),
        Head::Error { id } => id.as_ref(),
        Head::Request { .. } | Head::Notification(_) => None,
    }
}

/// Returns the id of the request that a notification cancels.
#[must_use]
pub fn cancelled_id(head: &Head) -> Option<&RequestId> {
    match head {
        Head::Notification(Notification::Cancelled { request }) => Some(request),
        Head::Request { .. }
        | Head::Notification(_)
        | Head::Response { .. }
        | Head::Error { .. } => None,
    }
}
