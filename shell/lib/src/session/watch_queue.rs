//! The queues of those who watch a session.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use rejoin_core::Input;

use super::watch::{WatchError, WatchedStep};
use crate::sync::Mutex;

/// A session as it happens: what [`SessionHandle::watch`](crate::SessionHandle::watch) returns.
/// Dropping it ends the watch.
#[derive(Debug)]
pub struct SessionWatch {
    queue: Arc<WatchQueue>,
}

/// Why a watch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEnd {
    /// The session is closed.
    Closed,
    /// Its reader was too slow, so that steps are missing from here on. A new watch may begin.
    TooSlow,
}

/// Those who watch a session: at most [`WATCHERS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<Arc<WatchQueue>>);

#[derive(Debug, Default)]
struct WatchQueue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    /// Of at most [`QUEUED_MAX`] messages, other inputs and actions together, or of one step.
    steps: VecDeque<Arc<WatchedStep>>,
    queued: usize,
    waker: Option<Waker>,
    end: Option<WatchEnd>,
}

/// Maximum number of watches of one session at a time.
const WATCHERS_MAX: usize = 4;

/// Maximum number of messages, other inputs and actions in the queue of a watch. Each has at most
/// two ids, whose length is limited.
const QUEUED_MAX: usize = 8_192;

impl SessionWatch {
    /// Waits for the next steps, and returns all that there are. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The watch has ended.
    pub async fn next(&mut self) -> Result<Vec<Arc<WatchedStep>>, WatchEnd> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<Vec<Arc<WatchedStep>>, WatchEnd>> {
        let mut state = self.queue.0.lock();
        if !state.steps.is_empty() {
            state.queued = 0;
            return Poll::Ready(Ok(state.steps.drain(..).collect()));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Err(end));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Watchers {
    /// Adds a watch.
    pub(super) fn add(&mut self) -> Result<SessionWatch, WatchError> {
        self.remove_dropped();
        if self.0.len() >= WATCHERS_MAX {
            return Err(WatchError::TooMany(WATCHERS_MAX));
        }
        let queue = Arc::<WatchQueue>::default();
        self.0.push(Arc::clone(&queue));
        Ok(SessionWatch { queue })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Queues a step. Returns what to wake without the lock of the session.
    pub(super) fn push(&mut self, step: WatchedStep) -> Vec<Waker> {
        self.remove_dropped();
        let step = Arc::new(step);
        let mut wakers = Vec::new();
        self.0.retain(|queue| {
            let mut state = queue.0.lock();
            state.push(&step);
            wakers.extend(state.waker.take());
            state.end.is_none()
        });
        wakers
    }

    /// Ends all watches, because the session is closed. Returns what to wake.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        let queues = std::mem::take(&mut self.0).into_iter();
        let ended = queues.filter_map(|queue| {
            let mut state = queue.0.lock();
            state.end = Some(WatchEnd::Closed);
            state.waker.take()
        });
        ended.collect()
    }

    fn remove_dropped(&mut self) {
        self.0.retain(|queue| Arc::strong_count(queue) > 1);
    }
}

impl QueueState {
    fn push(&mut self, step: &Arc<WatchedStep>) {
        self.queued = self.queued.saturating_add(weight(step));
        if self.queued > QUEUED_MAX && !self.steps.is_empty() {
            self.end = Some(WatchEnd::TooSlow);
        } else {
            self.steps.push_back(Arc::clone(step));
        }
    }
}

fn weight(step: &WatchedStep) -> usize {
    let inputs = if let Input::Post { post, .. } = &step.input { post.messages().len() } else { 1 };
    step.actions.len().saturating_add(inputs.max(1))
}
