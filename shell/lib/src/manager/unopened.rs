//! A session that was created, but not returned to the caller yet.

use rejoin_core::SessionCloseReason;

use crate::SessionHandle;

/// Closes its session on drop, unless that has been opened.
#[derive(Debug)]
pub(super) struct UnopenedSession {
    session: SessionHandle,
    is_opened: bool,
}

impl UnopenedSession {
    pub(super) fn new(session: SessionHandle) -> Self {
        Self { session, is_opened: false }
    }

    pub(super) fn session(&self) -> &SessionHandle {
        &self.session
    }

    pub(super) fn into_opened(mut self) -> SessionHandle {
        self.is_opened = true;
        self.session.clone()
    }
}

impl Drop for UnopenedSession {
    fn drop(&mut self) {
        if !self.is_opened {
            self.session.close(SessionCloseReason::Cancelled);
        }
    }
}
