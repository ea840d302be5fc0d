//! Forwarding: each accepted client message reaches the backend once and in order, except
//! responses to requests that are not pending.

use rejoin_core::{Action, Head, RequestId};

use crate::laws::{Step, posted};

/// Checks what a step forwards; `is_pending` returns whether a server request is pending.
pub(in crate::simulation) fn check_forwarded(
    step: &Step,
    is_pending: impl Fn(&RequestId) -> bool,
) -> Result<(), String> {
    let forwarded = step.actions.iter().filter_map(|action| {
        if let Action::Forward { message } = action { Some(*message) } else { None }
    });
    let forwarded: Vec<u64> = forwarded.collect();
    let fails = |id: &RequestId| {
        let failed = |action: &Action<u64>| matches!(action, Action::FailServerRequest { id: it, .. } if it == id);
        step.actions.iter().any(failed)
    };
    let is_expected = |head: &Head| match head {
        Head::Request { .. } | Head::Notification(_) => true,
        Head::Response { id, .. } | Head::Error { id: Some(id) } => is_pending(id) && !fails(id),
        Head::Error { id: None } => false,
    };
    let accepted = if step.result.is_ok() { posted(&step.input) } else { &[] };
    let expected = accepted.iter().filter(|message| is_expected(&message.head));
    let expected: Vec<u64> = expected.map(|message| message.body).collect();
    if forwarded == expected {
        return Ok(());
    }
    Err(format!("{expected:?} should be forwarded, but {forwarded:?} was"))
}

#[cfg(test)]
mod tests {
    use rejoin_core::{
        AnswerFormat, ConnectionId, Initialized, Input, Instant, Message, Notification, Post,
        UnansweredReason,
    };

    use super::*;
    use crate::laws::View;

    fn step(heads: Vec<Head>, forwarded: &[u64]) -> Step {
        let messages = heads.into_iter().zip(1..);
        let messages = messages.map(|(head, body)| Message { head, body, bytes: 0 });
        let forward = |message: &u64| Action::Forward { message: *message };
        Step {
            now: Instant::EPOCH,
            input: Input::Post {
                connection: ConnectionId(u64::MAX),
                format: AnswerFormat::Sse,
                post: Post::Batch(messages.collect()),
            },
            result: Ok(()),
            actions: forwarded.iter().map(forward).collect(),
            after: View::default(),
        }
    }

    fn notification() -> Head {
        Head::Notification(Notification::Other)
    }

    fn response() -> Head {
        Head::Response { id: 7.into(), initialized: Initialized::default(), creates_task: false }
    }

    #[test]
    fn detects_lost_duplicated_and_reordered_messages() {
        let check = |forwarded: &[u64]| {
            check_forwarded(&step(vec![notification(), notification()], forwarded), |_| false)
                .is_ok()
        };
        assert!(check(&[1, 2]));
        for failure in [&[][..], &[1], &[2, 1], &[1, 2, 2], &[1, 2, 3]] {
            assert!(!check(failure), "{failure:?}");
        }
    }

    #[test]
    fn detects_response_to_unknown_request() {
        let check = |forwarded: &[u64], is_pending: bool| {
            check_forwarded(&step(vec![response()], forwarded), |_| is_pending).is_ok()
        };
        assert!(check(&[1], true) && check(&[], false));
        assert!(!check(&[], true) && !check(&[1], false));
        let mut failed = step(vec![response()], &[]);
        failed.actions =
            vec![Action::FailServerRequest { id: 7.into(), reason: UnansweredReason::Undelivered }];
        assert!(check_forwarded(&failed, |_| true).is_ok());
    }
}
