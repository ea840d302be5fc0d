//! The handover of a session to another process.

use std::{sync::Arc, time::Duration};

use rejoin_core::{Input, SessionCloseReason, StreamId, cluster::Tenure};

use crate::{
    payload::Payload,
    session::{inner::SessionInner, state::LockedSession},
};

/// Whether a session is this process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Own,
    /// It may belong to another process by now, or does soon: it accepts nothing.
    Doubt,
    Moved,
}

/// How far a session is handed over to another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Handover {
    #[default]
    No,
    /// As soon as it has no pending requests. Clients reconnect after that time.
    WhenIdle {
        retry: Duration,
    },
    Begun,
}

impl<P: Payload> SessionInner<P> {
    /// Returns whether the session is this process's own.
    pub(crate) fn standing(self: &Arc<Self>) -> Standing {
        self.with_lock(Standing::Own, |locked| {
            if locked.state.core.close_reason() == Some(SessionCloseReason::Moved) {
                return Standing::Moved;
            }
            let is_in_doubt = locked.state.commits.as_ref().is_some_and(|commits| {
                commits.handover == Handover::Begun
                    || commits.tenure.as_ref().is_some_and(Tenure::is_in_doubt)
            });
            if is_in_doubt { Standing::Doubt } else { Standing::Own }
        })
    }

    /// Hands the session over to another process: now, or once it has no pending requests. Clients
    /// that can resume reconnect after `retry`.
    pub(crate) fn hand_over(self: &Arc<Self>, retry: Duration, is_now: bool) {
        self.with_lock((), |locked| {
            let commits = locked.state.commits.as_mut();
            let Some(commits) = commits.filter(|commits| commits.tenure.is_some()) else {
                let reason = SessionCloseReason::ServerShutdown;
                return locked.apply(Input::CloseSession { reason });
            };
            match commits.handover {
                Handover::No | Handover::WhenIdle { .. } if is_now => locked.begin_handover(retry),
                Handover::No => commits.handover = Handover::WhenIdle { retry },
                Handover::WhenIdle { .. } | Handover::Begun => {}
            }
        });
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Returns whether the session accepts no requests, because another process will have it.
    pub(in crate::session) fn is_handed_over(&self) -> bool {
        self.state.commits.as_ref().is_some_and(|commits| commits.handover != Handover::No)
    }

    pub(super) fn begin_handover(&mut self, retry: Duration) {
        let Some(commits) = &mut self.state.commits else { return };
        commits.handover = Handover::Begun;
        let core = &self.state.core;
        let streams = core.connections().filter_map(|connection| core.stream_on(connection));
        let streams: Vec<StreamId> = streams.collect();
        for stream in streams {
            self.apply(Input::Disconnect { stream, retry: Some(retry) });
        }
        self.require_entry();
        self.change_tenure(|tenure| tenure.end(false));
    }
}
