//! Messages: who said what, and about which request.

use rejoin_core::{Head, Message, RequestId};

use super::agenda::ServerNo;

/// A message that was said. Its number is its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// In the session of which server.
    pub(super) server: ServerNo,
    pub(super) head: Head,
    /// The request of the client that it is about, where it was pending at the time.
    pub(super) about: Option<RequestId>,
}

/// All messages of a world.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages(Vec<Said>);

impl Messages {
    /// Makes a message.
    pub(super) fn say(&mut self, server: ServerNo, head: Head, bytes: usize) -> Message<u64> {
        let body = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        self.0.push(Said { server, head: head.clone(), about: None });
        Message { head, body, bytes }
    }

    /// Returns the message that a body is.
    pub(super) fn get(&self, body: u64) -> Option<&Said> {
        self.0.get(usize::try_from(body).ok()?)
    }

    /// Notes what a message is about.
    pub(super) fn note(&mut self, body: u64, about: Option<RequestId>) {
        let at = usize::try_from(body).ok();
        if let Some(said) = at.and_then(|at| self.0.get_mut(at)) {
            said.about = about;
        }
    }
}
