//! Outcomes: how a request ended, as its client sees it, and what explains a loss.

use std::time::Duration;

use rejoin_core::{CloseReason, Config, FailureReason};

use crate::world::Tally;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response came.
    Answered,
    /// A failure came instead.
    Failed(FailureReason),
    /// The client has cancelled it.
    Cancelled,
    /// The client has no event to come back after.
    Unreachable,
    /// The client came back, and nothing was left.
    Expired,
    /// The client came back, and the stream had been cancelled.
    StreamCancelled,
    /// The session is closed.
    Closed,
}

impl Outcome {
    /// Adds that a request ended like this.
    pub fn count(self, tally: &mut Tally) {
        tally.add(match self {
            Self::Answered => "requests: answered",
            Self::Failed(_) => "requests: failed",
            Self::Cancelled | Self::StreamCancelled => "requests: cancelled",
            Self::Unreachable => "requests: unreachable",
            Self::Expired => "requests: expired",
            Self::Closed => "requests: session closed",
        });
        if let Self::Failed(reason) = self {
            tally.add(match reason {
                FailureReason::Evicted => "failures: evicted",
                FailureReason::Expired => "failures: expired",
                FailureReason::Orphaned => "failures: orphaned",
                FailureReason::BackendGone => "failures: backend gone",
                FailureReason::SessionClosed => "failures: session closed",
            });
        }
    }
}

/// What is known of a request when it ends.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub struct Circumstances<'a> {
    /// The limits of its session.
    pub config: &'a Config,
    /// How long ago it was sent.
    pub age: Duration,
    /// Why its session is closed.
    pub closed: Option<CloseReason>,
    /// Whether its client, or the driver, gave it up.
    pub is_given_up: bool,
    /// Whether it was sent when nothing went wrong any more: it ends by an answer, a limit
    /// or the end of its session.
    pub is_due: bool,
    /// Whether its client saw any event id of its stream.
    pub saw_id: bool,
    /// How many requests the session has had.
    pub requests: usize,
    /// Whether its answer was reported to be let go of.
    pub was_evicted: bool,
    /// Whether it was cancelled at the backend, for lack of a connection.
    pub was_orphaned: bool,
}

/// Clocks go back by less than this.
const SLACK: Duration = Duration::from_millis(20);

/// Checks that a request may end like this.
///
/// # Errors
///
/// Nothing that is known explains it.
pub fn explain(outcome: Outcome, known: &Circumstances<'_>) -> Result<(), String> {
    let usual = Config::default();
    let config = known.config;
    let lasted = |timeout: Option<Duration>| timeout.is_some_and(|it| known.age + SLACK >= it);
    let is_buried = || {
        lasted(config.retention)
            || known.requests
                > config.retained_unacknowledged_max.min(config.retained_acknowledged_max)
            || config.session_bytes_max < usual.session_bytes_max
    };
    let is_explained = match outcome {
        Outcome::Answered => true,
        Outcome::Failed(FailureReason::Evicted) => known.was_evicted,
        Outcome::Failed(FailureReason::Expired) => is_buried(),
        Outcome::Failed(FailureReason::Orphaned) => {
            known.was_orphaned && lasted(config.orphan_timeout)
        }
        Outcome::Failed(FailureReason::BackendGone) => {
            known.closed == Some(CloseReason::BackendGone)
        }
        Outcome::Failed(FailureReason::SessionClosed) | Outcome::Closed => known.closed.is_some(),
        Outcome::Cancelled | Outcome::StreamCancelled => known.is_given_up && !known.is_due,
        Outcome::Unreachable => !known.saw_id && !known.is_due,
        Outcome::Expired => {
            let is_forgotten =
                lasted(config.tombstone_timeout) || known.requests > config.tombstones_max;
            // What was cancelled is buried at once.
            (known.is_given_up || is_buried()) && is_forgotten
        }
    };
    if is_explained {
        return Ok(());
    }
    Err(format!("nothing explains {outcome:?}: {known:?}"))
}

/// Checks that a stream that is over, and was read to its end, leaves no request
/// without an answer.
pub(in crate::world) fn check_end(is_complete: bool, unsettled: usize) -> Result<(), String> {
    if is_complete && unsettled > 0 {
        return Err(format!("a stream is complete, and {unsettled} requests have no answer"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Circumstances<'static> {
        let config = Box::leak(Box::new(Config::default()));
        Circumstances {
            config,
            age: Duration::from_secs(seconds),
            closed: None,
            is_given_up: false,
            is_due: false,
            saw_id: true,
            requests: 10,
            was_evicted: false,
            was_orphaned: false,
        }
    }

    #[test]
    fn an_answer_explains_itself() {
        assert!(explain(Outcome::Answered, &at(0)).is_ok());
    }

    #[test]
    fn a_loss_without_a_cause_is_seen() {
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
            assert!(explain(outcome, &at(1)).is_err(), "{outcome:?}");
        }
    }

    #[test]
    fn a_loss_with_a_cause_is_fine() {
        let fine = |outcome, known: &Circumstances<'_>| explain(outcome, known).is_ok();
        let expired = Outcome::Failed(FailureReason::Expired);
        assert!(!fine(expired, &at(59)) && fine(expired, &at(60)));
        let orphaned = Outcome::Failed(FailureReason::Orphaned);
        let orphan = |seconds| Circumstances { was_orphaned: true, ..at(seconds) };
        assert!(!fine(orphaned, &orphan(599)) && fine(orphaned, &orphan(600)));
        assert!(!fine(orphaned, &at(600)));
        assert!(!fine(Outcome::Expired, &at(599)) && fine(Outcome::Expired, &at(600)));
        let many = Circumstances { requests: 65, ..at(1) };
        assert!(fine(expired, &many) && !fine(Outcome::Expired, &many));
        let gone = Circumstances { closed: Some(CloseReason::BackendGone), ..at(1) };
        assert!(fine(Outcome::Failed(FailureReason::BackendGone), &gone));
        assert!(fine(Outcome::Closed, &gone));
        let given_up = Circumstances { is_given_up: true, ..at(1) };
        assert!(fine(Outcome::Cancelled, &given_up) && fine(Outcome::StreamCancelled, &given_up));
        let lost = Circumstances { saw_id: false, ..at(1) };
        assert!(fine(Outcome::Unreachable, &lost));
        for outcome in [Outcome::Cancelled, Outcome::StreamCancelled, Outcome::Unreachable] {
            let due = Circumstances { is_given_up: true, is_due: true, ..lost };
            assert!(!fine(outcome, &due), "{outcome:?} though nothing went wrong");
        }
        let evicted = Outcome::Failed(FailureReason::Evicted);
        assert!(fine(evicted, &Circumstances { was_evicted: true, ..at(1) }));
    }

    #[test]
    fn a_complete_stream_without_an_answer_is_seen() {
        assert!(check_end(true, 0).is_ok() && check_end(false, 1).is_ok());
        assert!(check_end(true, 1).is_err());
    }
}
