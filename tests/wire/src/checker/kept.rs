//! Memory: what all sessions keep together at any time is within their limit.

use rejoin_core::{EVENT_OVERHEAD_BYTES, Input, Instant, Overflow};
use rejoin_tests::kit::Coverage;
use rejoin_tests::laws::{Step, View};

use crate::parameters::Parameters;

/// What a session keeps from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptChange {
    at: Instant,
    bytes: usize,
    /// Whether that may exceed the limit: it is a single event, and its sender could not wait.
    may_exceed: bool,
}

impl KeptChange {
    /// Returns the change by a step, if there is one.
    pub(super) fn of(before: &View, step: &Step) -> Option<Self> {
        let bytes = step.after.bytes;
        let may_exceed =
            if let Input::BackendMessage { message, overflow: Overflow::Evict, .. } = &step.input {
                bytes == message.bytes.saturating_add(EVENT_OVERHEAD_BYTES)
            } else {
                false
            };
        let change = Self { at: step.now, bytes, may_exceed };
        (bytes != before.bytes || may_exceed).then_some(change)
    }
}

/// Counts a limit that a session is given because of the others.
pub(super) fn count(before: &View, step: &Step, coverage: &mut Coverage) {
    let Input::LimitBytes { bytes_max } = step.input else { return };
    coverage.hit(if bytes_max == usize::MAX {
        "memory: limit lifted"
    } else if bytes_max < before.bytes {
        "memory: limit below what is kept"
    } else {
        "memory: limit above what is kept"
    });
    if bytes_max < step.after.bytes {
        coverage.hit("memory: shrinks later");
    }
}

/// Returns whether a session was told to keep nothing, and does.
pub(super) fn is_emptied(step: &Step) -> bool {
    matches!(step.input, Input::LimitBytes { bytes_max: 0 }) && step.after.bytes == 0
}

/// Checks what all sessions of a simulation keep together, after everything that happened at a
/// time. Memory is in use before it is recorded, and until what used it was recorded as released.
pub(crate) fn check(parameters: &Parameters, sessions: &[Vec<KeptChange>]) -> Result<(), String> {
    let kept_max = parameters.kept_max();
    let changes = sessions.iter().enumerate();
    let changes = changes.flat_map(|(no, session)| session.iter().map(move |it| (no, *it)));
    let mut changes: Vec<(usize, KeptChange)> = changes.collect();
    changes.sort_by_key(|(_, change)| change.at);
    let mut limited = vec![0; sessions.len()];
    for group in changes.chunk_by(|(_, one), (_, other)| one.at == other.at) {
        for (no, change) in group {
            if let Some(bytes) = limited.get_mut(*no) {
                *bytes = if change.may_exceed { 0 } else { change.bytes };
            }
        }
        let kept: usize = limited.iter().sum();
        if kept > kept_max {
            let at = group.first().map(|(_, change)| change.at);
            return Err(format!(
                "the sessions kept {kept} of {kept_max} bytes at {at:?}: {limited:?}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn detects_more_than_the_limit_at_a_time() {
        let parameters = Parameters { memory_bytes_max: Some(4_000), ..Parameters::draw(0) };
        let kept = |second, bytes, may_exceed| KeptChange {
            at: Instant::new(Duration::from_secs(second)),
            bytes,
            may_exceed,
        };
        let one = vec![kept(1, 2_000, false), kept(3, 500, false)];
        let with = |other: KeptChange| check(&parameters, &[one.clone(), vec![other]]);
        assert_eq!(with(kept(2, 1_000, false)), Ok(()));
        assert!(with(kept(2, 1_001, false)).is_err());
        assert_eq!(with(kept(2, 1_001, true)), Ok(()), "its sender could not wait");
        assert_eq!(with(kept(3, 2_500, false)), Ok(()), "the other has less by then");
        assert!(with(kept(3, 2_501, false)).is_err());
    }
}
