//! Clients that make one call after the other through the balancer, and come back to each of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rejoin_test_support::Client;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::{Cluster, NODES},
    counting::{Counting, NotBegun, PATIENCE, RETRY},
};

/// Clients, each in a session of its own, which run until they are stopped.
pub(crate) struct Load {
    clients: JoinSet<Tally>,
    seen: Arc<Seen>,
}

/// What the clients have seen so far.
struct Seen {
    is_over: AtomicBool,
    /// The number of calls of each client.
    calls: Vec<AtomicUsize>,
}

/// What became of calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// They have ended in a result.
    pub(crate) done: usize,
    /// They have ended in an error, after their first event.
    pub(crate) failed: usize,
    /// Why it is not known whether they were executed: their clients have no event of them.
    pub(crate) unknown: Vec<String>,
    /// They were refused, and made again.
    pub(crate) refused: usize,
    /// Sessions that did not exist any more.
    pub(crate) lost: usize,
    /// The longest time that a call took, with its refusals.
    pub(crate) longest: Duration,
}

const TOTAL: u64 = 20;
const INTERVAL: Duration = Duration::from_millis(5);

impl Load {
    /// Starts clients, as many for each node.
    pub(crate) async fn start(cluster: &Cluster, per_node: usize) -> Self {
        let mut sessions = Vec::new();
        for client in 0..NODES * per_node {
            sessions.push(cluster.session_of(client % NODES).await);
        }
        let calls = sessions.iter().map(|_| AtomicUsize::new(0)).collect();
        let seen = Arc::new(Seen { is_over: AtomicBool::new(false), calls });
        let mut clients = JoinSet::new();
        for (nth, client) in sessions.into_iter().enumerate() {
            clients.spawn(call(nth, client, Arc::clone(&seen)));
        }
        Self { clients, seen }
    }

    /// Waits until each client has made more calls. Returns how long it took.
    pub(crate) async fn more_calls(&mut self, more: usize) -> Duration {
        let begun = Instant::now();
        let counts = || self.seen.calls.iter().map(|calls| calls.load(Relaxed));
        let wanted: Vec<_> = counts().map(|calls| calls + more).collect();
        let wait = async {
            while counts().zip(&wanted).any(|(calls, wanted)| calls < *wanted) {
                if let Some(ended) = self.clients.try_join_next() {
                    panic!("a client has ended: {ended:?}");
                }
                sleep(RETRY).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the clients go on");
        begun.elapsed()
    }

    /// Stops the clients after their current calls.
    pub(crate) async fn stop(mut self) -> Tally {
        self.seen.is_over.store(true, Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = timeout(PATIENCE, self.clients.join_next()).await.expect("they end")
        {
            let Tally { done, failed, unknown, refused, lost, longest } = tally.unwrap();
            sum.done += done;
            sum.failed += failed;
            sum.unknown.extend(unknown);
            sum.refused += refused;
            sum.lost += lost;
            sum.longest = sum.longest.max(longest);
        }
        sum
    }
}

impl Tally {
    /// Checks that each call has a result.
    pub(crate) fn check_nothing_lost(&self) {
        assert_eq!((self.failed, self.unknown.len(), self.lost), (0, 0, 0), "{self:?}");
        assert!(self.done > 0);
    }
}

async fn call(nth: usize, client: Client, seen: Arc<Seen>) -> Tally {
    let mut tally = Tally::default();
    let mut id = 1_000 * i64::try_from(nth).unwrap();
    let mut begun = Instant::now();
    while !seen.is_over.load(Relaxed) {
        id += 1;
        match Counting::try_begin(&client, id, TOTAL, INTERVAL).await {
            Ok(mut call) => match call.finish().await.get("result") {
                Some(_) => {
                    assert_eq!(call.progress, TOTAL);
                    tally.done += 1;
                }
                None => tally.failed += 1,
            },
            Err(NotBegun::Unknown(why)) => tally.unknown.push(why),
            Err(NotBegun::Gone) => {
                tally.lost += 1;
                return tally;
            }
            Err(NotBegun::Refused) => {
                tally.refused += 1;
                sleep(RETRY).await;
                continue;
            }
        }
        seen.calls[nth].fetch_add(1, Relaxed);
        tally.longest = tally.longest.max(begun.elapsed());
        begun = Instant::now();
    }
    tally
}
