//! The waiting server requests: those that the client has not answered.

use std::collections::BTreeSet;

use rejoin_core::{Action, Head, Input, RequestId};

use super::{Step, answered_id, cancelled_id, posted, request_id};

/// The waiting server requests.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerRequests(BTreeSet<RequestId>);

impl ServerRequests {
    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Follows a step: adds new requests, and removes those that were answered, cancelled or
    /// failed, or whose backend was lost.
    ///
    /// # Errors
    ///
    /// Another request fails, or a session that closes does not list those that wait.
    pub(super) fn follow(&mut self, step: &Step) -> Result<(), String> {
        let head = backend_head(step);
        let mut new_request = head.and_then(request_id).cloned();
        for action in &step.actions {
            let Action::FailServerRequest { id, .. } = action else {
                continue;
            };
            if self.0.remove(id) {
                continue;
            }
            if new_request.take_if(|new| new == id).is_none() {
                return Err(format!("server request {id} fails, but was not waiting"));
            }
        }
        self.0.extend(new_request);
        if let Some(id) = head.and_then(cancelled_id) {
            self.0.remove(id);
        }
        let posted = if step.result.is_ok() { posted(&step.input) } else { &[] };
        for id in posted.iter().filter_map(|message| answered_id(&message.head)) {
            self.0.remove(id);
        }
        if step.loses_backend() {
            self.0.clear();
        }
        self.close(step)
    }

    /// Checks that a session that closes lists the waiting requests.
    fn close(&mut self, step: &Step) -> Result<(), String> {
        let listed = step.actions.iter().find_map(|action| {
            let Action::SessionClosed { server_requests, .. } = action else {
                return None;
            };
            Some(server_requests)
        });
        let Some(listed) = listed else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut self.0);
        if listed.iter().eq(&waiting) {
            return Ok(());
        }
        Err(format!("server requests {waiting:?} waited at the close, but it lists {listed:?}"))
    }
}

/// Returns the head of an accepted message of the backend.
fn backend_head(step: &Step) -> Option<&Head> {
    let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) else {
        return None;
    };
    Some(&message.head)
}

#[cfg(test)]
mod tests {
    use rejoin_core::{SessionCloseReason, UnansweredReason};

    use super::super::fixtures::{backend, request, step};
    use super::*;

    #[test]
    fn a_request_that_fails_twice_is_detected() {
        let mut requests = ServerRequests::default();
        assert!(requests.follow(&step(backend(request(1), 5))).is_ok());
        assert_eq!(requests.count(), 1);
        let mut failed = step(Input::Tick);
        let reason = UnansweredReason::Evicted;
        failed.actions = vec![Action::FailServerRequest { id: 1.into(), reason }];
        assert!(requests.follow(&failed).is_ok());
        assert_eq!(requests.count(), 0);
        assert!(requests.follow(&failed).is_err());
    }

    #[test]
    fn a_waiting_request_that_is_not_listed_at_the_close_is_detected() {
        let close = |listed: &[i64]| {
            let mut requests = ServerRequests::default();
            requests.follow(&step(backend(request(1), 5))).unwrap();
            requests.follow(&step(backend(request(2), 6))).unwrap();
            let mut closed = step(Input::Delete);
            closed.actions = vec![Action::SessionClosed {
                reason: SessionCloseReason::Deleted,
                pending_requests: Vec::new(),
                server_requests: listed.iter().map(|id| (*id).into()).collect(),
            }];
            requests.follow(&closed)
        };
        assert!(close(&[1, 2]).is_ok());
        assert!(close(&[1]).is_err() && close(&[2, 1]).is_err() && close(&[1, 2, 3]).is_err());
    }
}
