//! Calls of `close_session` that come too late.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::RmcpMessages;
use crate::{ClientSender, SessionId, session::Shared, sync::Mutex};

/// The sessions that were restored before the HTTP service has closed those that they replace.
///
/// The service calls `close_session` when it has ended, up to 5 s after the end of its session. By
/// then the id may be that of a restored session, which has to stay.
#[derive(Debug, Default)]
pub(super) struct LateCloses {
    /// The number of calls to ignore, at most one for each service that has ended.
    calls: Mutex<HashMap<SessionId, usize>>,
}

/// Expects a late call on drop, if the session has been replaced by then.
#[derive(Debug)]
pub(super) struct ExpectLateClose {
    client: ClientSender<RmcpMessages>,
    shared: Arc<Shared<RmcpMessages>>,
    late_closes: Arc<LateCloses>,
}

impl LateCloses {
    /// Returns whether a call is late. It is then not expected any more.
    pub(super) fn take(&self, session: SessionId) -> bool {
        let mut calls = self.calls.lock();
        let Entry::Occupied(mut expected) = calls.entry(session) else { return false };
        *expected.get_mut() -= 1;
        if *expected.get() == 0 {
            expected.remove();
        }
        true
    }
}

impl ExpectLateClose {
    pub(super) fn new(
        client: ClientSender<RmcpMessages>,
        shared: Arc<Shared<RmcpMessages>>,
        late_closes: Arc<LateCloses>,
    ) -> Self {
        Self { client, shared, late_closes }
    }
}

impl Drop for ExpectLateClose {
    fn drop(&mut self) {
        let id = self.client.session_id();
        if let Some(session) = self.shared.registry.find(id)
            && !self.client.is_of(&session)
        {
            *self.late_closes.calls.lock().entry(id).or_default() += 1;
        }
    }
}
