//! Work that is left to do once the lock of a session is released.

use std::{sync::Arc, task::Waker};

use rejoin_core::{Input, SessionCloseReason};
use smallvec::SmallVec;

#[cfg(feature = "store")]
use super::commits::StoreJob;
use super::inner::SessionInner;
use crate::{log, observer::SessionEvent, payload::Payload, sync::oneshot};

/// What must not be done under the lock of a session: whatever wakes tasks, locks more than the
/// session, or calls the backend.
#[derive(Debug, Default)]
pub(super) struct AfterUnlock {
    pub(super) wakers: SmallVec<[Waker; 2]>,
    pub(super) released_senders: SmallVec<[oneshot::Sender<()>; 1]>,
    /// What happened, for the log and the observer.
    pub(super) events: SmallVec<[SessionEvent; 2]>,
    /// Whether the backend's queue has a message, or was closed.
    pub(super) run_handler: bool,
    /// Whether the session gets less memory than it needs.
    pub(super) has_shortage: bool,
    /// Whether the backend does not read the session's messages.
    pub(super) backend_not_reading: bool,
    pub(super) closed: Option<SessionCloseReason>,
    /// Told that the store knows the end of the session.
    #[cfg(feature = "store")]
    pub(super) ended: Vec<oneshot::Sender<()>>,
    /// What the store must do.
    #[cfg(feature = "store")]
    pub(super) store_jobs: Vec<StoreJob>,
}

impl AfterUnlock {
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.wakers.push(waker);
        }
    }

    pub(super) fn run<P: Payload>(self, session: &Arc<SessionInner<P>>) {
        let Self {
            wakers,
            released_senders,
            events,
            run_handler,
            has_shortage,
            backend_not_reading,
            closed,
            #[cfg(feature = "store")]
            ended,
            #[cfg(feature = "store")]
            store_jobs,
        } = self;
        #[cfg(feature = "store")]
        for ended in ended {
            // An error means that nobody waits any more.
            let _ = ended.send(());
        }
        #[cfg(feature = "store")]
        for job in store_jobs {
            if let Some(store) = &session.shared.store {
                store.start(session, job);
            }
        }
        // First, so that a client that reacts to its end does not find the session any more.
        let was_listed = closed.is_some() && session.shared.remove(session);
        wakers.into_iter().for_each(Waker::wake);
        drop(released_senders);
        if has_shortage {
            session.shared.kept_memory.report_shortage();
        }
        let id = session.id();
        for event in &events {
            session.shared.observers.on_session_event(id, event);
        }
        if let Some(reason) = closed {
            session.queue.signal_session_ended();
            if was_listed {
                session.shared.call_close_hook(id, reason);
            }
        } else if backend_not_reading {
            log::backend_not_reading(id);
            // Only rejected if the session is closed.
            let _ = session.input(Input::BackendGone);
        }
        if run_handler {
            session.queue.run_handler();
        }
    }
}
