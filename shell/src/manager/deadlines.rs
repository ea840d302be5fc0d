//! The deadline queue: one timer for all sessions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use rejoin_core::Instant;

use crate::{
    SessionId,
    clock::Clock,
    session::SessionInner,
    sync::{
        Mutex, Notify,
        atomic::{AtomicBool, Ordering},
        spawn, yield_now,
    },
};

/// After how many sessions the task that wakes them lets others run.
const SESSIONS_PER_YIELD: usize = 64;

/// When which session is to be woken: at most one entry for each.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: Mutex<BTreeMap<(Instant, SessionId), Weak<SessionInner>>>,
    /// Says that the first entry is earlier than before.
    earlier: Notify,
    is_started: AtomicBool,
    is_stopped: AtomicBool,
}

impl Deadlines {
    /// Begins to wake sessions, the first time that it is called.
    pub(crate) fn start(self: &Arc<Self>, clock: Clock) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            spawn(Arc::clone(self).run(clock));
        }
    }

    /// Stops to wake sessions.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.earlier.notify_one();
    }

    /// Has a session woken at `deadline`, and not at `armed`.
    pub(crate) fn schedule(
        &self,
        id: SessionId,
        armed: Option<Instant>,
        deadline: Instant,
        session: &Weak<SessionInner>,
    ) {
        let mut queue = self.queue.lock();
        if let Some(armed) = armed {
            queue.remove(&(armed, id));
        }
        let is_first = queue.first_key_value().is_none_or(|((first, _), _)| deadline < *first);
        queue.insert((deadline, id), Weak::clone(session));
        drop(queue);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Does not wake a session any more.
    pub(crate) fn cancel(&self, id: SessionId, armed: Instant) {
        self.queue.lock().remove(&(armed, id));
    }

    /// Returns whether no session is to be woken.
    #[cfg(all(test, shuttle))]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    async fn run(self: Arc<Self>, clock: Clock) {
        while !self.is_stopped.load(Ordering::Acquire) {
            for _ in 0..SESSIONS_PER_YIELD {
                let Some((due, session)) = self.pop(clock.now()) else { break };
                session.upgrade().into_iter().for_each(|session| session.on_deadline(due));
            }
            match self.first() {
                Some(first) if first <= clock.now() => yield_now().await,
                Some(first) => {
                    tokio::select! {
                        // Without chance: whichever it is, what is due is looked for again.
                        biased;
                        () = clock.sleep_until(first) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    fn pop(&self, now: Instant) -> Option<(Instant, Weak<SessionInner>)> {
        let mut queue = self.queue.lock();
        let first = queue.first_entry()?;
        let (due, _) = *first.key();
        (due <= now).then(|| (due, first.remove()))
    }

    fn first(&self) -> Option<Instant> {
        self.queue.lock().first_key_value().map(|((first, _), _)| *first)
    }
}
