//! The deadline queue: one timer for all sessions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use rejoin_core::Instant;

use crate::{
    SessionId,
    clock::Clock,
    payload::Payload,
    session::SessionInner,
    sync::{
        Mutex, Notify,
        atomic::{AtomicBool, Ordering},
        yield_now,
    },
};

/// Number of sessions after which the task of the queue yields to others.
const SESSIONS_PER_YIELD: usize = 64;

/// Sessions by their next deadline: at most one entry for each.
#[derive(Debug)]
pub(crate) struct Deadlines<P: Payload> {
    queue: Mutex<Queue<P>>,
    /// Notified when there is a new first entry, or on stop.
    earlier: Notify,
    is_stopped: AtomicBool,
}

type Queue<P> = BTreeMap<(Instant, SessionId), Weak<SessionInner<P>>>;

impl<P: Payload> Default for Deadlines<P> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(BTreeMap::new()),
            earlier: Notify::default(),
            is_stopped: AtomicBool::new(false),
        }
    }
}

impl<P: Payload> Deadlines<P> {
    /// Stops the task.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.earlier.notify_one();
    }

    /// Schedules a session at `deadline`, and no longer at `scheduled`.
    pub(crate) fn schedule(
        &self,
        id: SessionId,
        scheduled: Option<Instant>,
        deadline: Instant,
        session: Weak<SessionInner<P>>,
    ) {
        let mut queue = self.queue.lock();
        if let Some(scheduled) = scheduled {
            queue.remove(&(scheduled, id));
        }
        let is_first = queue.first_key_value().is_none_or(|((first, _), _)| deadline < *first);
        queue.insert((deadline, id), session);
        drop(queue);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Removes the entry of a session.
    pub(crate) fn cancel(&self, id: SessionId, scheduled: Instant) {
        self.queue.lock().remove(&(scheduled, id));
    }

    /// Returns whether there are no entries.
    #[cfg(all(test, shuttle))]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Wakes sessions at their deadlines, until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, clock: Clock) {
        while !self.is_stopped.load(Ordering::Acquire) {
            for _ in 0..SESSIONS_PER_YIELD {
                let Some((due, session)) = self.pop(clock.now()) else { break };
                session.upgrade().into_iter().for_each(|session| session.on_deadline(due));
            }
            match self.first() {
                Some(first) if first <= clock.now() => yield_now().await,
                Some(first) => {
                    tokio::select! {
                        // `biased` avoids randomness; after either branch, due entries are looked up.
                        biased;
                        () = clock.sleep_until(first) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    fn pop(&self, now: Instant) -> Option<(Instant, Weak<SessionInner<P>>)> {
        let mut queue = self.queue.lock();
        let first = queue.first_entry()?;
        let (due, _) = *first.key();
        (due <= now).then(|| (due, first.remove()))
    }

    fn first(&self) -> Option<Instant> {
        self.queue.lock().first_key_value().map(|((first, _), _)| *first)
    }
}
