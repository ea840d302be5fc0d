//! The responses of a connection that are not written completely.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// The responses. A clone has the same ones.
#[derive(Clone, Debug)]
pub(super) struct Responses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// The number of responses.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    /// The id of the next response.
    next_id: u64,
    /// The responses that have unwritten parts. At most one for each concurrent request.
    unwritten: BTreeMap<u64, Unwritten>,
}

/// The parts of a response that the client's flow control holds back.
#[derive(Debug)]
struct Unwritten {
    parts: usize,
    /// When a byte was written, or the first of them was added.
    last_progress: Instant,
}

/// A response. It is counted until it is dropped.
#[derive(Debug)]
pub(super) struct PendingResponse {
    responses: Responses,
    id: u64,
}

impl Responses {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), count: watch::Sender::new(0) }))
    }

    pub(super) fn add(&self) -> PendingResponse {
        let mut state = self.0.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        drop(state);
        self.0.count.send_modify(|count| *count += 1);
        PendingResponse { responses: self.clone(), id }
    }

    /// Waits until no response has been pending for `time`.
    pub(super) async fn idle_for(&self, time: Duration) {
        let mut count = self.0.count.subscribe();
        loop {
            let is_idle = *count.borrow_and_update() == 0;
            // It cannot fail: the sender is in `self`.
            let changed = count.changed();
            if !is_idle {
                let _ = changed.await;
            } else if timeout(time, changed).await.is_err() {
                return;
            }
        }
    }

    /// Waits until a response has been pending for `time` without a byte being written. `None` is forever.
    pub(super) async fn stalled_for(&self, time: Option<Duration>) {
        let Some(time) = time else { return pending().await };
        loop {
            let now = Instant::now();
            // A response that is added later cannot be stalled earlier than `now + time`.
            let earliest = self.0.state.lock().earliest_progress().unwrap_or(now);
            let Some(due) = earliest.checked_add(time) else { return pending().await };
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// Waits until a request was received on the connection.
    pub(super) async fn begun(&self) {
        let mut count = self.0.count.subscribe();
        // It cannot fail: the sender is in `self`.
        let _ = count.wait_for(|_| self.0.state.lock().next_id > 0).await;
    }
}

impl State {
    fn earliest_progress(&self) -> Option<Instant> {
        self.unwritten.values().map(|unwritten| unwritten.last_progress).min()
    }
}

impl PendingResponse {
    pub(super) fn on_part_added(&self) {
        let mut state = self.responses.0.state.lock();
        let first = || Unwritten { parts: 0, last_progress: Instant::now() };
        state.unwritten.entry(self.id).or_insert_with(first).parts += 1;
    }

    pub(super) fn on_progress(&self) {
        if let Some(unwritten) = self.responses.0.state.lock().unwritten.get_mut(&self.id) {
            unwritten.last_progress = Instant::now();
        }
    }

    /// A part is written completely, or discarded.
    pub(super) fn on_part_removed(&self) {
        let mut state = self.responses.0.state.lock();
        let Some(unwritten) = state.unwritten.get_mut(&self.id) else { return };
        unwritten.parts -= 1;
        if unwritten.parts == 0 {
            state.unwritten.remove(&self.id);
        }
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.responses.0.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_its_last_response_has_ended() {
        let responses = Responses::new();
        let started = Instant::now();
        let (first, second) = (responses.add(), responses.add());
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            drop(first);
            sleep(Duration::from_secs(5)).await;
            drop(second);
        });
        responses.idle_for(Duration::from_secs(60)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(70));
    }

    #[tokio::test(start_paused = true)]
    async fn a_brief_response_restarts_the_idle_time() {
        let responses = Responses::new();
        let started = Instant::now();
        let brief = responses.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            drop(brief.add());
        });
        responses.idle_for(Duration::from_secs(60)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(110));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_stalled_while_nothing_of_it_is_written() {
        let responses = Responses::new();
        let started = Instant::now();
        let (progressing, stalled) = (responses.add(), responses.add());
        progressing.on_part_added();
        tokio::spawn(async move {
            for _ in 0..40 {
                sleep(Duration::from_secs(5)).await;
                progressing.on_progress();
            }
            progressing.on_part_removed();
            sleep(Duration::from_secs(1_000)).await;
            stalled.on_part_added();
            stalled.on_part_added();
            stalled.on_part_removed();
            pending::<()>().await;
        });
        responses.stalled_for(Some(Duration::from_secs(60))).await;
        assert_eq!(started.elapsed(), Duration::from_secs(1_260));
    }
}
