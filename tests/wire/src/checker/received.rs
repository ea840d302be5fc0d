//! Received messages: a backend receives, once and in order, what its client and session sent.

use rejoin_core::SessionCloseReason;

use super::history::{ExpectedMessage, History};
use crate::backend::{Received, ReceivedMessage};
use crate::client_session::SentMessage;

/// Checks what a backend received. Its queue holds up to `session_messages_max` messages of the
/// session itself.
pub(super) fn check(
    history: &History,
    reason: SessionCloseReason,
    received: &Received,
    session_messages_max: usize,
) -> Result<(), String> {
    if let Some(invalid) = &received.invalid {
        return Err(format!("the backend received an invalid message: {invalid}"));
    }
    for (nth, message) in received.messages.iter().enumerate() {
        let expected = history.expected.get(nth);
        if !expected.is_some_and(|expected| is_same(expected, message)) {
            return Err(format!("the backend received {message:?} instead of {expected:?}"));
        }
    }
    let (known, missing) = history.expected.split_at(received.messages.len());
    let is_backend_gone = reason == SessionCloseReason::BackendGone;
    match missing.first() {
        // A backend that has exited receives nothing more.
        Some(_) | None if received.has_exited => Ok(()),
        // A backend that sends many failing requests without reading is closed: its queue of
        // failures is bounded.
        Some(missing)
            if is_backend_gone
                && is_from_session(missing)
                && is_flooded(known, session_messages_max) =>
        {
            Ok(())
        }
        Some(_) | None if is_backend_gone => {
            Err("the session closed because of its backend, which has not exited".to_owned())
        }
        Some(missing) => Err(format!("the backend never received {missing:?}")),
        None => Ok(()),
    }
}

/// Checks that messages accepted by the server were received once, others at most once, and
/// that a message sent after another was accepted was received after it.
pub(super) fn check_sent(
    sent: &[SentMessage],
    received: &Received,
    is_cut: bool,
) -> Result<(), String> {
    let mut counts = vec![0; sent.len()];
    let mut latest = 0;
    for nth in received.messages.iter().filter_map(|message| message.number) {
        let (Some(count), Some(sent)) = (counts.get_mut(nth), sent.get(nth)) else {
            return Err(format!("the backend received number {nth}, which was never sent"));
        };
        *count += 1;
        if *count > 1 {
            return Err(format!("the backend received number {nth} twice"));
        }
        if sent.accepted_at.is_some_and(|accepted| accepted < latest) {
            return Err(format!("the backend received number {nth} after a later message"));
        }
        latest = latest.max(sent.sent_at);
    }
    let is_lost = |(sent, count): (&SentMessage, &i32)| {
        sent.is_always_forwarded && sent.accepted_at.is_some() && *count == 0 && !is_cut
    };
    match sent.iter().zip(&counts).position(is_lost) {
        Some(nth) => Err(format!("number {nth} was accepted, but the backend never received it")),
        None => Ok(()),
    }
}

/// Returns whether a message is from the session itself, so that its size is unknown.
fn is_from_session(expected: &ExpectedMessage) -> bool {
    expected.bytes.is_none()
}

fn is_flooded(known: &[ExpectedMessage], session_messages_max: usize) -> bool {
    known.iter().filter(|expected| is_from_session(expected)).count() >= session_messages_max
}

fn is_same(expected: &ExpectedMessage, message: &ReceivedMessage) -> bool {
    expected.head == message.head && expected.bytes.is_none_or(|bytes| bytes == message.bytes)
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Head, Notification};

    use super::*;

    fn cancels(id: i64, bytes: usize) -> (ExpectedMessage, ReceivedMessage) {
        let head = Head::Notification(Notification::Cancelled { request: id.into() });
        (
            ExpectedMessage { head: head.clone(), bytes: Some(bytes) },
            ReceivedMessage { head, bytes, number: None },
        )
    }

    /// Returns the failure where a backend must receive three messages, and receives those that
    /// are left by `change`.
    fn failure(
        reason: SessionCloseReason,
        change: impl FnOnce(&mut Vec<ReceivedMessage>, &mut Received),
    ) -> Option<String> {
        let (expected, mut message) =
            [cancels(1, 10), cancels(2, 10), cancels(3, 10)].into_iter().unzip();
        let mut history = History::default();
        history.expected = expected;
        let mut received = Received::default();
        change(&mut message, &mut received);
        received.messages = message;
        check(&history, reason, &received, 1).err()
    }

    #[test]
    fn detects_lost_duplicated_changed_and_reordered_messages() {
        let deleted = |change: fn(&mut Vec<ReceivedMessage>)| {
            failure(SessionCloseReason::Deleted, |message, _| change(message)).unwrap_or_default()
        };
        assert_eq!(deleted(|_| {}), "");
        assert!(deleted(|message| drop(message.pop())).contains("never received"));
        assert!(deleted(|message| drop(message.remove(0))).contains("instead of"));
        assert!(deleted(|message| message.push(message[2].clone())).contains("instead of None"));
        assert!(deleted(|message| message.swap(0, 1)).contains("instead of"));
        assert!(deleted(|message| message[1].bytes += 1).contains("instead of"));
    }

    #[test]
    fn only_exit_excuses_lost_messages() {
        let backend_gone = |has_exited| {
            failure(SessionCloseReason::BackendGone, |message, received| {
                message.pop();
                received.has_exited = has_exited;
            })
        };
        assert_eq!(backend_gone(true), None);
        assert!(
            backend_gone(false).is_some_and(|failure| failure.contains("which has not exited"))
        );
        let invalid = failure(SessionCloseReason::BackendGone, |_, received| {
            received.has_exited = true;
            received.invalid = Some("it breaks off".to_owned());
        });
        assert!(invalid.is_some_and(|failure| failure.contains("it breaks off")));
    }

    #[test]
    fn sent_messages_are_received_once_and_in_order() {
        let sent = |sent, accepted| SentMessage {
            sent_at: sent,
            accepted_at: accepted,
            is_always_forwarded: true,
        };
        // The second is sent when the first was accepted; the third is never accepted.
        let sent = [sent(0, Some(1)), sent(1, Some(3)), sent(2, None)];
        let failure = |message: &[usize], is_cut| {
            let message =
                message.iter().map(|nth| ReceivedMessage { number: Some(*nth), ..cancels(1, 9).1 });
            let received = Received { messages: message.collect(), ..Received::default() };
            check_sent(&sent, &received, is_cut).err().unwrap_or_default()
        };
        for right in [&[0, 1][..], &[0, 1, 2], &[0, 2, 1]] {
            assert_eq!(failure(right, false), "");
        }
        assert!(failure(&[0], false).contains("never received it"));
        assert_eq!(failure(&[0], true), "");
        assert!(failure(&[0, 1, 1], true).contains("twice"));
        assert!(failure(&[0, 2, 2, 1], true).contains("twice"));
        assert!(failure(&[0, 1, 9], true).contains("which was never sent"));
        assert!(failure(&[2, 0, 1], true).contains("after a later message"));
    }

    #[test]
    fn only_too_many_failures_close_a_backend() {
        let fails =
            |id: i64| ExpectedMessage { head: Head::Error { id: Some(id.into()) }, bytes: None };
        let mut history = History::default();
        history.expected = vec![fails(1), fails(2), fails(3)];
        let receive = |expected: &ExpectedMessage| ReceivedMessage {
            head: expected.head.clone(),
            bytes: 60,
            number: None,
        };
        let message = history.expected.iter().take(2).map(receive).collect();
        let received = Received { messages: message, ..Received::default() };
        let backend_gone = |session_messages_max| {
            check(&history, SessionCloseReason::BackendGone, &received, session_messages_max)
        };
        assert_eq!(backend_gone(2), Ok(()));
        assert!(backend_gone(3).is_err());
        assert!(check(&history, SessionCloseReason::Deleted, &received, 2).is_err());
    }
}
