//! The clock of the races, which only tests advance.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use rejoin_core::Instant;

use crate::sync::Mutex;

shuttle::lazy_static! {
    /// The time of one schedule.
    static ref TIME: Mutex<Time> = Mutex::default();
}

/// The current time, and the tasks that sleep.
#[derive(Default)]
struct Time {
    now: Duration,
    sleepers: BTreeMap<(Instant, u64), Waker>,
    next_sleeper: u64,
}

/// A clock that shows the time set by [`advance`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

impl Clock {
    pub(crate) fn start() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the real clock has an epoch")]
    pub(crate) fn now(self) -> Instant {
        Instant::new(TIME.lock().now)
    }

    /// Waits until `instant`.
    pub(crate) async fn sleep_until(self, instant: Instant) {
        let mut sleep = Sleep { until: instant, sleeper: None };
        poll_fn(move |cx| sleep.poll(cx)).await;
    }
}

/// The error when a future has timed out.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// Waits for `future`, and for `timeout` at most.
pub(crate) async fn timeout<F: Future>(timeout: Duration, future: F) -> Result<F::Output, Elapsed> {
    let until = Clock.now().since_epoch().saturating_add(timeout);
    let mut sleep = Sleep { until: Instant::new(until), sleeper: None };
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => sleep.poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}

/// Advances the time, and wakes tasks whose sleep is over.
pub(super) fn advance(by: Duration) {
    let mut time = TIME.lock();
    time.now += by;
    let now = Instant::new(time.now);
    let later = time.sleepers.split_off(&(now, u64::MAX));
    let due = std::mem::replace(&mut time.sleepers, later);
    drop(time);
    due.into_values().for_each(Waker::wake);
}

/// A sleep, which is only woken when it is due.
struct Sleep {
    until: Instant,
    sleeper: Option<u64>,
}

impl Sleep {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut time = TIME.lock();
        if self.until <= Instant::new(time.now) {
            return Poll::Ready(());
        }
        let sleeper = *self.sleeper.get_or_insert_with(|| {
            time.next_sleeper += 1;
            time.next_sleeper
        });
        time.sleepers.insert((self.until, sleeper), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(sleeper) = self.sleeper {
            TIME.lock().sleepers.remove(&(self.until, sleeper));
        }
    }
}
