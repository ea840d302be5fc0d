//! Questions: a request of the backend that nobody can see does not wait for ever.

use std::time::Duration;

use rejoin_core::RequestId;

/// Clocks go back by less than this.
const SLACK: Duration = Duration::from_millis(20);

/// Checks that a request of the backend may still wait though nobody has taken it:
/// its stream is there, and has not been without a connection for too long.
pub(in crate::world) fn check_question(
    asked: &RequestId,
    is_there: bool,
    alone: Option<Duration>,
    delivery_timeout: Option<Duration>,
) -> Result<(), String> {
    if !is_there {
        return Err(format!("request {asked} of the backend waits, though its stream is gone"));
    }
    match (alone, delivery_timeout) {
        (Some(alone), Some(timeout)) if alone > timeout + SLACK => {
            Err(format!("request {asked} of the backend waits, though nobody came for {alone:?}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_waits_for_nothing_is_seen() {
        let check = |is_there, alone: Option<u64>| {
            let delivery_timeout = Some(Duration::from_secs(10));
            let alone = alone.map(Duration::from_secs);
            check_question(&7.into(), is_there, alone, delivery_timeout).is_ok()
        };
        assert!(check(true, None) && check(true, Some(10)));
        assert!(!check(true, Some(11)));
        assert!(!check(false, None));
        assert!(check_question(&7.into(), true, Some(Duration::MAX), None).is_ok());
    }
}
