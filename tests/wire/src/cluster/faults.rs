//! The faults of a round, and what they excuse.

use parking_lot::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// What is done to a node or to the server of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A node is killed, and started again.
    Kill,
    /// A node gets SIGTERM, and is started again once it has exited.
    Terminate,
    /// A node is stopped (SIGSTOP), and continued.
    Pause,
    /// The machine has no time for a process. It is not caused, but noticed.
    Starve,
    /// The store is killed, and started again with all it has acknowledged.
    StoreRestart,
    /// The store is killed, and started again empty.
    StoreForget,
    /// The store is stopped (SIGSTOP), and continued.
    StoreAway,
    /// The store is emptied while it runs.
    StoreFlush,
}

/// All faults until now.
#[derive(Debug, Default)]
pub(super) struct FaultLog(Mutex<Vec<Span>>);

#[derive(Clone, Copy, Debug)]
struct Span {
    fault: Fault,
    began: Instant,
    /// `None` while it lasts.
    ended: Option<Instant>,
}

/// How long what a fault has caused may last: leases expire, sessions are taken over, nodes that are
/// new wait for the others.
const AFTERMATH: Duration = Duration::from_secs(6);
/// How long clients may take to have a session taken over whose owner is gone. Until then it is in
/// the store only.
const UNOWNED: Duration = Duration::from_secs(8);

impl Fault {
    /// Returns its counter.
    pub(super) const fn counter(self) -> &'static str {
        match self {
            Self::Kill => "faults: kill",
            Self::Terminate => "faults: terminate",
            Self::Pause => "faults: pause",
            Self::Starve => "faults: machine is overloaded",
            Self::StoreRestart => "faults: store restarts",
            Self::StoreForget => "faults: store restarts empty",
            Self::StoreAway => "faults: store is away",
            Self::StoreFlush => "faults: store is flushed",
        }
    }

    fn is_of_node(self) -> bool {
        matches!(self, Self::Kill | Self::Terminate | Self::Pause | Self::Starve)
    }

    fn empties_store(self) -> bool {
        matches!(self, Self::StoreForget | Self::StoreFlush)
    }
}

impl Span {
    /// Returns whether it lasts, with `before` and `after`, at some time since then.
    fn overlaps(self, since: Instant, after: Duration) -> bool {
        self.ended.is_none_or(|ended| ended + after >= since)
    }
}

impl FaultLog {
    /// Adds a fault that begins now. Returns its number.
    pub(super) fn begin(&self, fault: Fault) -> usize {
        let mut spans = self.0.lock();
        spans.push(Span { fault, began: Instant::now(), ended: None });
        spans.len() - 1
    }

    pub(super) fn end(&self, number: usize) {
        if let Some(span) = self.0.lock().get_mut(number) {
            span.ended = Some(Instant::now());
        }
    }

    /// Adds a fault that ends now.
    pub(super) fn add(&self, fault: Fault, began: Instant) {
        self.0.lock().push(Span { fault, began, ended: Some(Instant::now()) });
    }

    /// Returns whether a node was disturbed since then, or shortly before.
    pub(super) fn has_disturbed_node(&self, since: Instant) -> bool {
        self.0.lock().iter().any(|span| span.fault.is_of_node() && span.overlaps(since, AFTERMATH))
    }

    /// Returns whether anything was disturbed since then, or shortly before.
    pub(super) fn has_disturbed(&self, since: Instant) -> bool {
        self.0.lock().iter().any(|span| span.overlaps(since, AFTERMATH))
    }

    /// Returns whether the store forgot a session that no node had in memory, since then.
    pub(super) fn may_have_lost_session(&self, since: Instant) -> bool {
        let spans = self.0.lock();
        let emptied = spans.iter().filter(|span| span.fault.empties_store());
        emptied.filter(|store| store.overlaps(since, AFTERMATH)).any(|store| {
            let back = store.ended.map_or_else(Instant::now, |ended| ended + AFTERMATH);
            let nodes = spans.iter().filter(|span| span.fault.is_of_node());
            nodes
                .filter(|node| node.began <= back)
                .any(|node| node.ended.is_none_or(|ended| ended + UNOWNED >= store.began))
        })
    }

    /// Returns the last faults, to be printed with a violation.
    pub(super) fn recent(&self) -> String {
        let now = Instant::now();
        let ago = |at: Instant| (now - at).as_secs_f32();
        let spans = self.0.lock();
        let texts = spans.iter().rev().take(3).map(|span| {
            let ended = span.ended.map_or("lasts".to_owned(), |at| format!("{:.1}", ago(at)));
            format!("{:?} {:.1}..{ended} s ago", span.fault, ago(span.began))
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn session_is_lost_with_store_and_node_only() {
        let faults = FaultLog::default();
        let began = Instant::now();
        let restart = faults.begin(Fault::StoreRestart);
        faults.end(restart);
        let kill = faults.begin(Fault::Kill);
        faults.end(kill);
        assert!(!faults.may_have_lost_session(began));
        assert!(faults.has_disturbed_node(began));
        tokio::time::advance(UNOWNED + Duration::from_secs(1)).await;
        let forget = faults.begin(Fault::StoreForget);
        faults.end(forget);
        assert!(!faults.may_have_lost_session(began));
        let pause = faults.begin(Fault::Pause);
        assert!(faults.may_have_lost_session(began));
        faults.end(pause);
        tokio::time::advance(AFTERMATH + Duration::from_secs(1)).await;
        assert!(!faults.may_have_lost_session(Instant::now()));
        assert!(!faults.has_disturbed(Instant::now()));
    }
}
