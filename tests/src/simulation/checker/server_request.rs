//! Server requests: an undelivered one does not stay pending forever.

use std::time::Duration;

use rejoin_core::RequestId;

/// More than clocks are ever set back.
const SLACK: Duration = Duration::from_millis(20);

/// Checks that an unacknowledged server request may still be pending: its stream exists, and
/// was not detached for longer than the delivery timeout.
pub(in crate::simulation) fn check_server_request(
    request: &RequestId,
    stream_exists: bool,
    detached: Option<Duration>,
    delivery_timeout: Option<Duration>,
) -> Result<(), String> {
    if !stream_exists {
        return Err(format!(
            "server request {request} is pending, but its stream no longer exists"
        ));
    }
    match (detached, delivery_timeout) {
        (Some(detached), Some(timeout)) if detached > timeout + SLACK => Err(format!(
            "server request {request} is pending, but its stream was detached for {detached:?}"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_stuck_server_requests() {
        let check = |stream_exists, detached: Option<u64>| {
            let delivery_timeout = Some(Duration::from_secs(10));
            let detached = detached.map(Duration::from_secs);
            check_server_request(&7.into(), stream_exists, detached, delivery_timeout).is_ok()
        };
        assert!(check(true, None) && check(true, Some(10)));
        assert!(!check(true, Some(11)));
        assert!(!check(false, None));
        assert!(check_server_request(&7.into(), true, Some(Duration::MAX), None).is_ok());
    }
}
