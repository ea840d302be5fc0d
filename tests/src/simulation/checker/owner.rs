//! Ownership: a client receives only messages of its session, each on the stream of its request.

use std::collections::BTreeSet;

use rejoin_core::RequestId;

use crate::simulation::message_log::SentMessage;

/// Checks that a message is of the client's own session, and belongs only to the requests of
/// its stream.
pub(in crate::simulation) fn check_owner(
    sent: &SentMessage,
    server: usize,
    requests: Option<&BTreeSet<RequestId>>,
) -> Result<(), String> {
    if sent.server != server {
        return Err(format!("{sent:?} was received in session {server}"));
    }
    match (&sent.request, requests) {
        (Some(request), Some(requests)) if !requests.contains(request) => {
            Err(format!("{sent:?} was received on the stream of {requests:?}"))
        }
        (Some(_), None) => Err(format!("{sent:?} was received on the standalone stream")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Head, Initialized};

    use super::*;

    #[test]
    fn detects_message_of_another_session_or_request() {
        let head = Head::Response {
            id: 7.into(),
            initialized: Initialized::default(),
            creates_task: false,
        };
        let sent = SentMessage { server: 1, head, request: Some(7.into()) };
        let own = BTreeSet::from([7.into(), 8.into()]);
        assert!(check_owner(&sent, 1, Some(&own)).is_ok());
        assert!(check_owner(&sent, 2, Some(&own)).is_err());
        assert!(check_owner(&sent, 1, Some(&BTreeSet::from([8.into()]))).is_err());
        assert!(check_owner(&sent, 1, None).is_err());
    }
}
