//! The task of a process with a store: the connection, the lease, and what sessions write.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rejoin_core::{
    Instant, Session,
    cluster::{EntryId, LastEntry, LeaseAction, LeaseActions, NodeId, StoreId, WriteOutcome},
};
use tokio::{sync::mpsc::UnboundedReceiver, task::yield_now};
use tracing::{info, warn};

use super::{
    Cluster, CountedBytes, Job,
    entry::{Entry, Kind},
};
use crate::{
    session::{SessionInner, Shared, StoreJob},
    store::{self, Outcome, StoreAway, StoreKey, Write},
};

/// Maximum number of calls of the store at a time. Others wait in the queue.
const CALLS_MAX: usize = 1_024;

/// Maximum number of calls for sessions in the background, besides those.
const BACKGROUND_CALLS_MAX: usize = 64;

/// Bytes of entries without an answer, and of sessions that are asked for, above which no other session
/// in the background is: each may be written as a whole then.
const ENTRY_BYTES_MAX: usize = 32 << 20;

/// Time before the first attempt to connect again, which doubles with each that fails.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// Runs until the manager is dropped.
pub(super) async fn run(
    cluster: Arc<Cluster>,
    shared: Weak<Shared<Bytes>>,
    jobs: UnboundedReceiver<Job>,
) {
    let (calls, full, due) = (FuturesUnordered::new(), Vec::new(), Due::default());
    let extend_at = Instant::EPOCH;
    let (link, connected_at) = (Link::Connecting, Instant::EPOCH);
    let (asks, extends, background_calls) = (VecDeque::new(), Vec::new(), 0);
    let mut node = Node {
        cluster,
        shared,
        jobs,
        events: VecDeque::new(),
        asks,
        extends,
        background_calls,
        calls,
        due,
        link,
        full,
        extend_at,
        connected_at,
    };
    node.connect(Duration::ZERO);
    while node.step().await {}
}

struct Node {
    cluster: Arc<Cluster>,
    shared: Weak<Shared<Bytes>>,
    jobs: UnboundedReceiver<Job>,
    /// What has happened, and is handled next: at most [`EVENTS_MAX`], and one more.
    events: VecDeque<Event>,
    /// Sessions in doubt, which may be all at once.
    asks: VecDeque<Arc<SessionInner<Bytes>>>,
    /// Sessions whose TTL is extended, once none is in doubt.
    extends: Vec<Arc<SessionInner<Bytes>>>,
    /// The number of calls for both.
    background_calls: usize,
    calls: FuturesUnordered<Call>,
    due: Due,
    link: Link,
    /// Sessions that the store had no room for.
    full: Vec<Weak<SessionInner<Bytes>>>,
    /// When the TTL of the sessions is extended: twice before it expires.
    extend_at: Instant,
    /// When the store was connected last.
    connected_at: Instant,
}

/// Sessions with records to write: each once, and once more for each answer of the store meanwhile.
#[derive(Debug, Default)]
struct Due {
    sessions: Vec<Arc<SessionInner<Bytes>>>,
    /// How often something else was handled since the first one came.
    delays: usize,
}

/// Number of batches of events after which records are written, even if the task has not yielded. It
/// yields so that a quick response is in one entry with the opening of its stream.
const DELAYS_MAX: usize = 4;

/// Maximum number of events that are handled before the deadline of the lease is checked.
const EVENTS_MAX: usize = 16;

/// The connection to the store.
#[derive(Clone, Copy, Debug)]
enum Link {
    Connecting,
    /// Whether the lease was renewed since.
    Connected {
        is_renewed: bool,
    },
}

type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What the store has answered.
enum Answer {
    Connected(Result<StoreId, StoreAway>, Duration),
    Renewed { sent_at: Instant, outcome: Result<Outcome, StoreAway> },
    Appended(Arc<SessionInner<Bytes>>, EntryId, Result<Outcome, StoreAway>),
    Last(Arc<SessionInner<Bytes>>, Result<store::LastEntry, StoreAway>),
    Extended(Arc<SessionInner<Bytes>>, Result<Outcome, StoreAway>),
    Other(Result<Outcome, StoreAway>),
}

enum Event {
    Job(Job),
    Answer(Answer),
    /// Records are written.
    Write,
}

impl Node {
    /// Waits until something happens, and handles all that has happened. Returns whether there can be
    /// more.
    async fn step(&mut self) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        let clock = shared.clock;
        let deadline = self.cluster.state.lock().lease.deadline();
        // Ends soon after the manager.
        let latest = clock.now().saturating_add(Duration::from_millis(500));
        let deadline = deadline.map_or(latest, |deadline| deadline.min(latest));
        if deadline <= clock.now() {
            // Also if answers or jobs never end.
            let actions = self.cluster.state.lock().lease.tick(clock.now());
            self.carry_out(&shared, actions);
        }
        drop(shared);
        tokio::select! {
            biased;
            () = self.next() => if self.due.count_delay() {
                self.events.push_back(Event::Write);
            },
            () = yield_now(), if !self.due.sessions.is_empty() => {
                self.events.push_back(Event::Write);
            }
            () = clock.sleep_until(deadline) => {}
        }
        let Some(shared) = self.shared.upgrade() else { return false };
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Job(job) => self.start(job),
                Event::Answer(answer) => self.on_answer(&shared, answer),
                Event::Write => self.due.take().iter().for_each(SessionInner::write_records),
            }
        }
        self.start_background();
        true
    }

    /// Waits for answers and jobs.
    async fn next(&mut self) {
        let Self { calls, jobs, events, .. } = self;
        poll_fn(|cx| {
            while events.len() < EVENTS_MAX
                && !calls.is_empty()
                && let Poll::Ready(Some(answer)) = calls.poll_next_unpin(cx)
            {
                events.push_back(Event::Answer(answer));
            }
            let jobs_max = CALLS_MAX.saturating_sub(calls.len());
            let events_max = EVENTS_MAX.min(events.len().saturating_add(jobs_max));
            while events.len() < events_max
                && let Poll::Ready(Some(job)) = jobs.poll_recv(cx)
            {
                events.push_back(Event::Job(job));
            }
            if events.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Starts jobs in the background, as far as the store is not busy with them.
    fn start_background(&mut self) {
        while self.background_calls < BACKGROUND_CALLS_MAX
            && self.cluster.entries.bytes() < ENTRY_BYTES_MAX
        {
            if let Some(session) = self.asks.pop_front() {
                let key = StoreKey::of(session.id());
                let kept = session.inspect(Session::kept_bytes);
                self.call(|cluster| {
                    let bytes = CountedBytes::new(&cluster.entries, kept);
                    async move {
                        let last = cluster.store.last(key).await;
                        drop(bytes);
                        Answer::Last(session, last)
                    }
                });
            } else if let Some(session) = self.extends.pop() {
                let key = StoreKey::of(session.id());
                self.call(|cluster| async move {
                    let keep = Write::Keep { key, ttl: cluster.config.ttl };
                    Answer::Extended(session, cluster.store.write(keep).await)
                });
            } else {
                return;
            }
            self.background_calls += 1;
        }
    }

    fn start(&mut self, Job { session, what, bytes }: Job) {
        if matches!(self.link, Link::Connecting) {
            return session.on_store_lost();
        }
        if matches!(what, StoreJob::Write) {
            return self.due.sessions.push(session);
        }
        match what {
            StoreJob::Append { key, id, entry, creates } => {
                let ttl = self.cluster.config.ttl;
                let write = if creates {
                    Write::Create { key, id, entry, ttl }
                } else {
                    Write::Append { key, id, entry }
                };
                self.call(|cluster| async move {
                    let written = cluster.store.write(write).await;
                    drop(bytes);
                    Answer::Appended(session, id, written)
                });
            }
            StoreJob::Trim { before } => {
                self.write(Write::Trim { key: StoreKey::of(session.id()), before });
            }
            StoreJob::Ask => self.asks.push_back(session),
            StoreJob::Extend => self.extends.push(session),
            StoreJob::Remove => self.write(Write::Remove { key: StoreKey::of(session.id()) }),
            StoreJob::Write | StoreJob::Forget | StoreJob::Track => {}
        }
    }

    fn write(&self, write: Write) {
        self.call(|cluster| async move { Answer::Other(cluster.store.write(write).await) });
    }

    fn call<F>(&self, call: impl FnOnce(Arc<Cluster>) -> F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.calls.push(Box::pin(call(Arc::clone(&self.cluster))));
    }

    fn connect(&mut self, delay: Duration) {
        self.link = Link::Connecting;
        let delay = delay.min(self.reconnect_max());
        self.call(|cluster| async move {
            tokio::time::sleep(delay).await;
            Answer::Connected(cluster.store.connect().await, delay)
        });
    }

    /// Returns the maximum time between two attempts to connect. Others take nothing over for twice the
    /// time of a lease after they have connected.
    fn reconnect_max(&self) -> Duration {
        RECONNECT_MAX.min(self.cluster.config.lease.ttl)
    }

    fn on_answer(&mut self, shared: &Arc<Shared<Bytes>>, answer: Answer) {
        if matches!(answer, Answer::Last(..) | Answer::Extended(..)) {
            self.background_calls = self.background_calls.saturating_sub(1);
        }
        match answer {
            Answer::Connected(Ok(store), _) => self.on_connected(shared, store),
            Answer::Connected(Err(error), delay) => {
                warn!(%error, "cannot connect to the store");
                self.connect(delay.saturating_mul(2).max(RECONNECT_MIN));
            }
            Answer::Renewed { outcome: Ok(Outcome::Full), .. } => {
                self.on_lost(shared, &StoreAway::new("it has no room for the lease"));
            }
            Answer::Renewed { outcome: Ok(Outcome::Refused), .. } => {
                // Connecting gives it an id.
                self.on_lost(shared, &StoreAway::new("it has lost its id"));
            }
            Answer::Renewed { sent_at, outcome: Ok(outcome) } => {
                self.on_renewed(shared, sent_at, outcome == Outcome::Expired);
            }
            Answer::Appended(session, id, Ok(outcome)) => {
                if outcome == Outcome::Full {
                    warn!(session = %session.id().short(), "the store has no room");
                    self.full.push(Arc::downgrade(&session));
                }
                session.on_written(id, write_outcome(outcome));
            }
            Answer::Last(session, Ok(store::LastEntry { entry, store: _ })) => {
                let last = entry.map(|entry| last_entry(&entry, self.cluster.node));
                session.on_last_entry(last);
            }
            // One that is just being created has no log yet.
            Answer::Extended(session, Ok(Outcome::Missing)) if session.is_stored() => {
                session.on_store_lost();
                session.on_store_found();
            }
            Answer::Extended(_, Ok(_)) | Answer::Other(Ok(_)) => {}
            Answer::Renewed { outcome: Err(error), .. }
            | Answer::Appended(_, _, Err(error))
            | Answer::Last(_, Err(error))
            | Answer::Extended(_, Err(error))
            | Answer::Other(Err(error)) => self.on_lost(shared, &error),
        }
    }

    fn on_connected(&mut self, shared: &Arc<Shared<Bytes>>, store: StoreId) {
        info!("connected to the store");
        self.link = Link::Connected { is_renewed: false };
        // Those that were asked for before may be lost.
        self.extend_at = Instant::EPOCH;
        let now = shared.clock.now();
        self.connected_at = now;
        let actions = {
            let mut state = self.cluster.state.lock();
            state.store = Some((store, now));
            state.lease.on_connect(now)
        };
        self.carry_out(shared, actions);
    }

    /// Whatever was in flight may have been done or not.
    fn on_lost(&mut self, shared: &Arc<Shared<Bytes>>, error: &StoreAway) {
        warn!(%error, "lost the connection to the store");
        self.calls = FuturesUnordered::new();
        self.events.retain(|event| !matches!(event, Event::Answer(_)));
        self.asks.clear();
        self.extends.clear();
        self.background_calls = 0;
        self.cluster.state.lock().lease.on_disconnect();
        let max = self.reconnect_max();
        let was_short = shared.clock.now().since(self.connected_at) < max;
        self.connect(if was_short { max } else { Duration::ZERO });
        self.each_session(shared, SessionInner::on_store_lost);
    }

    fn on_renewed(&mut self, shared: &Arc<Shared<Bytes>>, sent_at: Instant, had_expired: bool) {
        let actions = {
            let mut state = self.cluster.state.lock();
            state.leases_lost += u64::from(had_expired);
            state.lease.on_renewed(sent_at, had_expired)
        };
        self.carry_out(shared, actions);
        if let Link::Connected { is_renewed: is_renewed @ false } = &mut self.link {
            *is_renewed = true;
            self.each_session(shared, SessionInner::on_store_found);
        }
        for session in std::mem::take(&mut self.full).iter().filter_map(Weak::upgrade) {
            session.retry_write();
        }
        if sent_at >= self.extend_at {
            self.extend_at = sent_at.saturating_add(self.cluster.config.ttl / 2);
            self.extends = shared.registry.all();
        }
    }

    fn carry_out(&mut self, shared: &Arc<Shared<Bytes>>, actions: LeaseActions) {
        if self.cluster.state.lock().has_left {
            return;
        }
        for action in actions {
            match action {
                LeaseAction::Renew => self.renew(shared.clock.now()),
                LeaseAction::Suspend => {
                    self.cluster.state.lock().leases_lost += 1;
                    warn!("the lease has expired: requests are refused");
                }
                LeaseAction::Resume => self.cluster.resumed.notify_waiters(),
                LeaseAction::DoubtAll => self.each_session(shared, |session| {
                    session.on_store_lost();
                    session.on_store_found();
                }),
                LeaseAction::CutAll => self.each_session(shared, SessionInner::cut_connections),
            }
        }
    }

    fn renew(&self, sent_at: Instant) {
        let Cluster { node, config, address, state, .. } = &*self.cluster;
        let Some((store, _)) = state.lock().store else { return };
        let (node, ttl) = (*node, config.lease.ttl);
        let renew = Write::Renew { node, address: Arc::clone(address), ttl, store };
        self.call(|cluster| async move {
            Answer::Renewed { sent_at, outcome: cluster.store.write(renew).await }
        });
    }

    /// Calls `f` for each session, also for those that are closed and whose end the store does not
    /// know.
    fn each_session(&self, shared: &Arc<Shared<Bytes>>, f: impl Fn(&Arc<SessionInner<Bytes>>)) {
        let closed: Vec<_> = self.cluster.state.lock().closed.values().cloned().collect();
        shared.registry.all().iter().chain(&closed).for_each(f);
    }
}

impl Due {
    /// Counts events that were handled before the records. Returns whether the limit is reached.
    fn count_delay(&mut self) -> bool {
        self.delays += usize::from(!self.sessions.is_empty());
        self.delays == DELAYS_MAX
    }

    fn take(&mut self) -> Vec<Arc<SessionInner<Bytes>>> {
        self.delays = 0;
        std::mem::take(&mut self.sessions)
    }
}

fn last_entry(entry: &store::Entry, node: NodeId) -> LastEntry {
    let read = Entry::read(&entry.bytes);
    let is_closed = read.as_ref().is_ok_and(|read| read.kind == Kind::Closed);
    LastEntry { id: entry.id, is_own: read.is_ok_and(|read| read.node == node), is_closed }
}

fn write_outcome(outcome: Outcome) -> WriteOutcome {
    match outcome {
        Outcome::Written | Outcome::Expired => WriteOutcome::Written,
        Outcome::Refused => WriteOutcome::Refused,
        Outcome::Missing => WriteOutcome::Missing,
        Outcome::Full => WriteOutcome::Full,
    }
}
