//! A session that was created, but not returned to the caller yet.

use rejoin_core::SessionCloseReason;

use crate::{SessionHandle, payload::Payload};

/// Closes its session on drop, unless that has been opened.
#[derive(Debug)]
pub(crate) struct UnopenedSession<P: Payload> {
    session: SessionHandle<P>,
    is_opened: bool,
}

impl<P: Payload> UnopenedSession<P> {
    pub(crate) fn new(session: SessionHandle<P>) -> Self {
        Self { session, is_opened: false }
    }

    pub(crate) fn session(&self) -> &SessionHandle<P> {
        &self.session
    }

    pub(crate) fn into_opened(mut self) -> SessionHandle<P> {
        self.is_opened = true;
        self.session.clone()
    }
}

impl<P: Payload> Drop for UnopenedSession<P> {
    fn drop(&mut self) {
        if !self.is_opened {
            self.session.close(SessionCloseReason::Cancelled);
        }
    }
}
