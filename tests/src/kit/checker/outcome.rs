//! Outcomes of requests, as their client sees them, and the causes that a loss must have.

use std::time::Duration;

use rejoin_core::{Config, FailureReason, SessionCloseReason};

use crate::kit::Coverage;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response was received.
    Answered,
    /// A failure was received instead.
    Failed(FailureReason),
    /// The client cancelled it.
    Cancelled,
    /// The client has no event id to resume after.
    Unreachable,
    /// The client resumed, and the stream had expired.
    Expired,
    /// The client resumed, and the stream had been cancelled.
    StreamCancelled,
    /// The session closed.
    Closed,
}

impl Outcome {
    /// Counts the outcome.
    pub fn record(self, coverage: &mut Coverage) {
        coverage.hit(match self {
            Self::Answered => "requests: answered",
            Self::Failed(_) => "requests: failed",
            Self::Cancelled | Self::StreamCancelled => "requests: cancelled",
            Self::Unreachable => "requests: unreachable",
            Self::Expired => "requests: expired",
            Self::Closed => "requests: session closed",
        });
        if let Self::Failed(reason) = self {
            coverage.hit(match reason {
                FailureReason::Evicted => "failures: evicted",
                FailureReason::Expired => "failures: expired",
                FailureReason::Orphaned => "failures: orphaned",
                FailureReason::BackendGone => "failures: backend gone",
                FailureReason::SessionClosed => "failures: session closed",
            });
        }
    }
}

/// The facts about a request that justify its outcome.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub struct RequestFacts<'a> {
    /// The config of its session.
    pub config: &'a Config,
    /// The time since it was sent.
    pub age: Duration,
    /// Why its session closed, if it did.
    pub closed: Option<SessionCloseReason>,
    /// Whether its client cancelled it, or the driver abandoned it.
    pub is_cancelled: bool,
    /// Whether it was sent in the fault-free phase: it must end by a response, a limit or the
    /// end of its session.
    pub must_be_answered: bool,
    /// Whether its client received an event id of its stream.
    pub saw_id: bool,
    /// How many requests the session accepted.
    pub requests: usize,
    /// Whether its response was reported as evicted.
    pub was_evicted: bool,
    /// Whether the session orphaned it.
    pub was_orphaned: bool,
    /// Whether the limit of what the session keeps was ever lowered.
    pub was_limited: bool,
}

/// More than clocks are ever set back.
const SLACK: Duration = Duration::from_millis(20);

/// Checks that a request may end like this.
///
/// # Errors
///
/// No known fact justifies the outcome.
pub fn check_outcome(outcome: Outcome, facts: &RequestFacts<'_>) -> Result<(), String> {
    let defaults = Config::default();
    let config = facts.config;
    let has_passed = |timeout: Option<Duration>| timeout.is_some_and(|it| facts.age + SLACK >= it);
    let may_be_expired = || {
        has_passed(config.retention)
            || facts.requests
                > config.retained_unacknowledged_max.min(config.retained_acknowledged_max)
            || facts.was_limited
            || config.session_bytes_max < defaults.session_bytes_max
    };
    let is_justified = match outcome {
        Outcome::Answered => true,
        Outcome::Failed(FailureReason::Evicted) => facts.was_evicted,
        Outcome::Failed(FailureReason::Expired) => may_be_expired(),
        Outcome::Failed(FailureReason::Orphaned) => {
            facts.was_orphaned && has_passed(config.orphan_timeout)
        }
        Outcome::Failed(FailureReason::BackendGone) => {
            facts.closed == Some(SessionCloseReason::BackendGone)
        }
        Outcome::Failed(FailureReason::SessionClosed) | Outcome::Closed => facts.closed.is_some(),
        Outcome::Cancelled | Outcome::StreamCancelled => {
            facts.is_cancelled && !facts.must_be_answered
        }
        Outcome::Unreachable => !facts.saw_id && !facts.must_be_answered,
        Outcome::Expired => {
            let may_be_removed =
                has_passed(config.tombstone_timeout) || facts.requests > config.tombstones_max;
            // The stream of a cancelled request expires at once.
            (facts.is_cancelled || may_be_expired()) && may_be_removed
        }
    };
    if is_justified {
        return Ok(());
    }
    Err(format!("nothing justifies {outcome:?}: {facts:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> RequestFacts<'static> {
        let config = Box::leak(Box::new(Config::default()));
        RequestFacts {
            config,
            age: Duration::from_secs(seconds),
            closed: None,
            is_cancelled: false,
            must_be_answered: false,
            saw_id: true,
            requests: 10,
            was_evicted: false,
            was_orphaned: false,
            was_limited: false,
        }
    }

    #[test]
    fn response_needs_no_cause() {
        assert!(check_outcome(Outcome::Answered, &at(0)).is_ok());
    }

    #[test]
    fn detects_loss_without_cause() {
        for outcome in [
            Outcome::Failed(FailureReason::Evicted),
            Outcome::Failed(FailureReason::Expired),
            Outcome::Failed(FailureReason::Orphaned),
            Outcome::Failed(FailureReason::BackendGone),
            Outcome::Failed(FailureReason::SessionClosed),
            Outcome::Cancelled,
            Outcome::Unreachable,
            Outcome::Expired,
            Outcome::StreamCancelled,
            Outcome::Closed,
        ] {
            assert!(check_outcome(outcome, &at(1)).is_err(), "{outcome:?}");
        }
    }

    #[test]
    fn accepts_loss_with_cause() {
        let is_ok = |outcome, facts: &RequestFacts<'_>| check_outcome(outcome, facts).is_ok();
        let expired = Outcome::Failed(FailureReason::Expired);
        assert!(!is_ok(expired, &at(59)) && is_ok(expired, &at(60)));
        let orphaned = Outcome::Failed(FailureReason::Orphaned);
        let orphan = |seconds| RequestFacts { was_orphaned: true, ..at(seconds) };
        assert!(!is_ok(orphaned, &orphan(599)) && is_ok(orphaned, &orphan(600)));
        assert!(!is_ok(orphaned, &at(600)));
        assert!(!is_ok(Outcome::Expired, &at(599)) && is_ok(Outcome::Expired, &at(600)));
        assert!(is_ok(expired, &RequestFacts { was_limited: true, ..at(1) }));
        let many = RequestFacts { requests: 65, ..at(1) };
        assert!(is_ok(expired, &many) && !is_ok(Outcome::Expired, &many));
        let backend_gone = RequestFacts { closed: Some(SessionCloseReason::BackendGone), ..at(1) };
        assert!(is_ok(Outcome::Failed(FailureReason::BackendGone), &backend_gone));
        assert!(is_ok(Outcome::Closed, &backend_gone));
        let cancelled = RequestFacts { is_cancelled: true, ..at(1) };
        assert!(
            is_ok(Outcome::Cancelled, &cancelled) && is_ok(Outcome::StreamCancelled, &cancelled)
        );
        let lost = RequestFacts { saw_id: false, ..at(1) };
        assert!(is_ok(Outcome::Unreachable, &lost));
        for outcome in [Outcome::Cancelled, Outcome::StreamCancelled, Outcome::Unreachable] {
            let due = RequestFacts { is_cancelled: true, must_be_answered: true, ..lost };
            assert!(!is_ok(outcome, &due), "{outcome:?} without faults");
        }
        let evicted = Outcome::Failed(FailureReason::Evicted);
        assert!(is_ok(evicted, &RequestFacts { was_evicted: true, ..at(1) }));
    }
}
