//! The end of a session in its store, or in this process only.

use std::sync::Arc;

use rejoin_core::{ConnectionId, Input, SessionCloseReason, cluster::Tenure};

use super::{StoreJob, handover::Handover};
use crate::{
    payload::Payload,
    session::{inner::SessionInner, state::LockedSession},
    sync::oneshot,
};

impl<P: Payload> SessionInner<P> {
    /// Cuts all connections, so that their clients try another process.
    pub(crate) fn cut_connections(self: &Arc<Self>) {
        self.with_lock((), |locked| {
            for connection in locked.cut_open_buffers() {
                locked.apply(Input::ConnectionClosed { connection, through: None });
            }
        });
    }

    /// Returns whether nothing more is written.
    pub(crate) fn is_over_in_store(self: &Arc<Self>) -> bool {
        self.with_lock(true, |locked| {
            let tenure = locked.state.commits.as_ref().and_then(|commits| commits.tenure.as_ref());
            tenure.is_none_or(Tenure::is_over)
        })
    }

    /// Returns a future that is ready once the store knows the end of the session, if it does not
    /// yet.
    pub(crate) fn end_in_store(self: &Arc<Self>) -> Option<oneshot::Receiver<()>> {
        self.with_lock(None, |locked| {
            let commits = locked.state.commits.as_mut()?;
            commits.tenure.as_ref().filter(|tenure| !tenure.is_over())?;
            let (sender, receiver) = oneshot::channel();
            commits.end_waiters.push(sender);
            Some(receiver)
        })
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Ends the session in the store, too.
    pub(in crate::session) fn end_tenure(&mut self) {
        let (Some(store), Some(commits)) = (&self.session.shared.store, &mut self.state.commits)
        else {
            return;
        };
        (commits.unreported, commits.needs_entry) = (0, false);
        commits.pending = Vec::new();
        commits.count_pending(store.pending());
        if commits.tenure.as_ref().is_some_and(|tenure| !tenure.is_over()) {
            self.after_unlock.store_jobs.push(StoreJob::Track);
        }
        self.change_tenure(|tenure| tenure.end(true));
    }

    pub(super) fn on_ended(&mut self) {
        let commits = self.state.commits.as_ref();
        let is_released = commits.is_some_and(|commits| commits.handover == Handover::Begun);
        let is_closed = self.state.core.close_reason().is_some();
        self.forget(is_closed || !is_released);
        self.cut_open_buffers();
        self.apply(Input::CloseSession { reason: SessionCloseReason::Moved });
    }

    /// Notes that nothing more is written.
    pub(super) fn forget(&mut self, is_closed: bool) {
        self.after_unlock.store_jobs.push(StoreJob::Forget);
        if let Some(commits) = &mut self.state.commits {
            let waiters = commits.end_waiters.drain(..);
            if is_closed {
                self.after_unlock.ended.extend(waiters);
            } else {
                // Without an answer: another process may have the session.
                self.after_unlock.released_senders.extend(waiters);
            }
        }
    }

    /// Ends a session that its client does not know yet.
    pub(super) fn leave_unless_stored(&mut self) {
        if self.is_withheld() {
            self.leave();
        }
    }

    /// Ends the session in this process only: nothing more is sent to its client.
    pub(super) fn leave(&mut self) {
        self.cut_open_buffers();
        self.apply(Input::CloseSession { reason: SessionCloseReason::Moved });
    }

    /// Cuts the connections that are not closed: nothing more is sent on them. Those that are closed
    /// have only what is committed, and their clients read it to the end, unless they must not know the
    /// session yet. Returns which were cut.
    pub(super) fn cut_open_buffers(&mut self) -> Vec<ConnectionId> {
        let is_withheld = self.is_withheld();
        let buffers = self.state.buffers.iter();
        let cut = buffers.filter(|(_, buffer)| is_withheld || !buffer.is_closed());
        let connections: Vec<_> = cut.map(|(connection, _)| connection).collect();
        for connection in &connections {
            if let Some(mut buffer) = self.state.buffers.remove(*connection) {
                self.after_unlock.wake(buffer.cut());
            }
        }
        connections
    }
}
