//! Restarts under load: each instance is replaced by the next one, and no call is lost or doubled.

use std::time::Duration;

use rejoin_test_support::callers::{CallRecord, Callers};
use tokio::time::sleep;

use crate::balancer::Balancer;

const CLIENTS: usize = 64;
const RESTARTS: usize = 3;

/// Every so many clients make calls that take longer than an instance serves after the signal.
const LONG_EVERY: usize = 8;

/// How long an instance serves after the signal: longer than the balancer takes to notice.
const DRAIN_DELAY: &str = "1s";

/// How long the balancer takes to notice that an instance is not ready any more.
const LAG: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_or_doubled_by_restarts() {
    let record = CallRecord::new();
    let start = || record.serve(&["--drain-delay", DRAIN_DELAY, "--drain-timeout", "60s"]);
    let mut instance = start();
    let balancer = Balancer::start(&instance.address).await;
    let seconds = |nth: usize| if nth.is_multiple_of(LONG_EVERY) { "2" } else { "0.05" };
    let mut callers = Callers::start(&balancer.address, CLIENTS, seconds);
    // Every client begins a session on each instance.
    let mut sessions = CLIENTS;
    callers.wait_until(|seen| seen.sessions() == sessions).await;
    for _ in 0..RESTARTS {
        let mut old = std::mem::replace(&mut instance, start());
        old.signal("TERM");
        sleep(LAG).await;
        balancer.choose(&instance.address);
        assert!(old.exited(Duration::from_secs(60)).await.unwrap().success());
        sessions += CLIENTS;
        callers.wait_until(|seen| seen.sessions() == sessions).await;
    }
    record.check(callers.stop().await);
    assert_eq!(callers.unreachable(), 0);
    assert_eq!(callers.sessions(), sessions);
    assert_eq!(callers.refused(), CLIENTS * RESTARTS);
}
