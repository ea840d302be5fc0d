//! Parked children: those that were still starting when their clients left.
//!
//! A child may take long to start, for example when `npx` has to download a package first. If it
//! were stopped whenever its client gives up, each retry would start over and give up again. So
//! the child is kept for a while. It has received only one `initialize` message and has written
//! nothing, so it can serve the next client whose `initialize` message is the same, byte for
//! byte, and that has the same environment variables, arguments and
//! principal.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::SessionSetup;
use crate::{ClientMessages, ClientSender};

/// Maximum number of parked children, in addition to those of sessions.
const PARKED_MAX: usize = 4;

/// The two ends of a session that its child is connected to.
pub(super) type SessionEndpoints = (ClientSender, ClientMessages);

/// What a child knows of its first session.
#[derive(PartialEq)]
pub(super) struct ChildStart {
    /// The only message that the child has received.
    pub(super) initialize: Bytes,
    pub(super) setup: SessionSetup,
}

/// A session that is offered to a parked child.
pub(super) struct Offer {
    endpoints: SessionEndpoints,
    declined: oneshot::Sender<SessionEndpoints>,
}

impl Offer {
    /// Accepts the session.
    pub(super) fn accept(self) -> SessionEndpoints {
        self.endpoints
    }

    /// Returns the session to its sender.
    pub(super) fn decline(self) {
        // An error means that nothing waits for the session any more.
        let _ = self.declined.send(self.endpoints);
    }
}

/// The parked children.
#[derive(Default)]
pub(super) struct Parked(Mutex<State>);

#[derive(Default)]
struct State {
    /// At most [`PARKED_MAX`].
    children: Vec<ParkedChild>,
    is_closed: bool,
}

struct ParkedChild {
    start: ChildStart,
    client: oneshot::Sender<Offer>,
}

impl Parked {
    /// Parks a child. Returns `None` if the limit is reached, or after [`close`](Self::close).
    pub(super) fn park(&self, start: ChildStart) -> Option<oneshot::Receiver<Offer>> {
        let mut state = self.0.lock();
        state.remove_closed();
        if state.is_closed || state.children.len() >= PARKED_MAX {
            return None;
        }
        let (client, next) = oneshot::channel();
        state.children.push(ParkedChild { start, client });
        Some(next)
    }

    /// Hands a session to a child that was started in the same way.
    ///
    /// # Errors
    ///
    /// No such child is parked: returns the session.
    pub(super) async fn hand_over(
        &self,
        start: &ChildStart,
        mut endpoints: SessionEndpoints,
    ) -> Result<(), SessionEndpoints> {
        while let Some(client) = self.remove(start) {
            let (declined, returned) = oneshot::channel();
            endpoints = match client.send(Offer { endpoints, declined }) {
                Ok(()) => match returned.await {
                    Ok(returned) => returned,
                    Err(_) => return Ok(()),
                },
                // The child has ended.
                Err(offer) => offer.endpoints,
            };
        }
        Err(endpoints)
    }

    fn remove(&self, start: &ChildStart) -> Option<oneshot::Sender<Offer>> {
        let mut state = self.0.lock();
        let at = state.children.iter().position(|it| it.start == *start)?;
        Some(state.children.remove(at).client)
    }

    /// Releases all children, and parks no more.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.children.clear();
    }
}

impl State {
    fn remove_closed(&mut self) {
        self.children.retain(|child| !child.client.is_closed());
    }
}
