//! Children that are still starting, and whose clients have left.
//!
//! A child may take long to start, as when `npx` has to download a package first. A client
//! that does not wait for that would come back to a child that begins from the start, and
//! leave again. So the child goes on starting for a while. It has heard nothing but one
//! `initialize` and has said nothing; the next client whose `initialize` is the same, byte for
//! byte, can have it.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{ClientMessages, ClientSender};

/// How many children wait for a client at a time, beside those of sessions.
const PARKED_MAX: usize = 4;

/// What a child serves a session with.
pub(super) type SessionEndpoints = (ClientSender, ClientMessages);

/// A session for a child that waits for one.
pub(super) struct Offer {
    endpoints: SessionEndpoints,
    declined: oneshot::Sender<SessionEndpoints>,
}

impl Offer {
    /// Takes the session.
    pub(super) fn accept(self) -> SessionEndpoints {
        self.endpoints
    }

    /// Gives the session back.
    pub(super) fn decline(self) {
        // An error says that nobody waits for the session any more.
        let _ = self.declined.send(self.endpoints);
    }
}

/// The children that wait for a client.
#[derive(Default)]
pub(super) struct Parked(Mutex<State>);

#[derive(Default)]
struct State {
    /// At most [`PARKED_MAX`].
    children: Vec<ParkedChild>,
    is_closed: bool,
}

struct ParkedChild {
    /// What the child has heard.
    initialize: Bytes,
    client: oneshot::Sender<Offer>,
}

impl Parked {
    /// Lets a child wait for a client; `None` where too many do so already.
    pub(super) fn park(&self, initialize: Bytes) -> Option<oneshot::Receiver<Offer>> {
        let mut state = self.0.lock();
        state.remove_closed();
        if state.is_closed || state.children.len() >= PARKED_MAX {
            return None;
        }
        let (client, next) = oneshot::channel();
        state.children.push(ParkedChild { initialize, client });
        Some(next)
    }

    /// Hands a session to a child that has heard the same `initialize`. Returns it where there
    /// is none.
    pub(super) async fn hand_over(
        &self,
        initialize: &Bytes,
        mut served: SessionEndpoints,
    ) -> Result<(), SessionEndpoints> {
        while let Some(client) = self.remove(initialize) {
            let (refused, refusal) = oneshot::channel();
            served = match client.send(Offer { endpoints: served, declined: refused }) {
                Ok(()) => match refusal.await {
                    Ok(returned) => returned,
                    Err(_) => return Ok(()),
                },
                // The child has ended meanwhile.
                Err(offer) => offer.endpoints,
            };
        }
        Err(served)
    }

    fn remove(&self, initialize: &Bytes) -> Option<oneshot::Sender<Offer>> {
        let mut state = self.0.lock();
        let at = state.children.iter().position(|it| it.initialize == *initialize)?;
        Some(state.children.remove(at).client)
    }

    /// Has no child wait for a client any more.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.children.clear();
    }
}

impl State {
    fn remove_closed(&mut self) {
        self.children.retain(|waiting| !waiting.client.is_closed());
    }
}
