//! All messages that were created, with their senders and requests.

use rejoin_core::{Head, Message, RequestId};

use super::event_queue::ServerNo;

/// A message that was created. Its body is its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentMessage {
    /// The server of its session.
    pub(super) server: ServerNo,
    pub(super) head: Head,
    /// The pending client request that it belonged to.
    pub(super) request: Option<RequestId>,
}

/// All messages of a simulation.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageLog(Vec<SentMessage>);

impl MessageLog {
    /// Creates a message.
    pub(super) fn create(&mut self, server: ServerNo, head: Head, bytes: usize) -> Message<u64> {
        let body = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        self.0.push(SentMessage { server, head: head.clone(), request: None });
        Message { head, body, bytes }
    }

    /// Returns the message with a body.
    pub(super) fn get(&self, body: u64) -> Option<&SentMessage> {
        self.0.get(usize::try_from(body).ok()?)
    }

    /// Sets the request that a message belongs to.
    pub(super) fn set_request(&mut self, body: u64, request: Option<RequestId>) {
        let at = usize::try_from(body).ok();
        if let Some(sent) = at.and_then(|at| self.0.get_mut(at)) {
            sent.request = request;
        }
    }
}
