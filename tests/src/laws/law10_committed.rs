//! Law 10: a session that commits sends nothing that a client can come back by before it is
//! committed.
//!
//! An event or a whole answer needs the commit of its record, a priming event or a gap that of the
//! opening of its stream. Excepted are the failures of a session that closes, and those of a revived
//! stream, which have no record.

use rejoin_core::{Config, Event, Failure, FailureReason, StreamId};

use super::commits::Commits;
use super::readers::{Sent, SentEvent};
use super::{LogView, Step, View};

/// Checks what a step sent and recorded.
pub(super) fn check(
    commits: &Commits,
    config: &Config,
    before: &View,
    step: &Step,
    sent: &[Sent],
) -> Result<(), String> {
    if !config.commits {
        return Ok(());
    }
    for Sent { connection, stream, event, .. } in sent {
        // Only the connection of `initialize` has no stream.
        if let (Some(stream), Some(event)) = (stream, event)
            && !is_committed(commits, step, *stream, event)
        {
            return Err(format!(
                "connection {connection} was sent {event:?} of {stream} before its commit"
            ));
        }
    }
    let has_grown = |log: &&LogView| before.log(log.stream).is_none_or(|it| it.last < log.last);
    for log in step.after.logs.iter().filter(has_grown) {
        if let Some(event) = &log.newest
            && commits.is_committed(log.stream, log.last).is_none()
            && !is_expired(event)
        {
            return Err(format!("{event:?} is in {log:?}, and no record has it"));
        }
    }
    Ok(())
}

fn is_committed(commits: &Commits, step: &Step, stream: StreamId, sent: &SentEvent) -> bool {
    let is_end = |failure: &Failure| {
        matches!(failure.reason, FailureReason::SessionClosed | FailureReason::BackendGone)
            && step.after.closed.is_some()
    };
    match &sent.event {
        Event::Priming { .. } | Event::Gap { .. } => commits.is_open(stream),
        Event::Failure(failure) if is_end(failure) => true,
        event if is_expired(event) => true,
        Event::Message(_) | Event::Failure(_) => {
            commits.is_open(stream) && commits.is_committed(stream, sent.index) == Some(true)
        }
    }
}

fn is_expired(event: &Event<u64>) -> bool {
    matches!(event, Event::Failure(Failure { reason: FailureReason::Expired, .. }))
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Action, Change, Entry, Input, MessageKind, Record, SessionCloseReason};

    use super::super::fixtures::{backend, log, notification, post, send, step};
    use super::super::readers::Readers;
    use super::*;

    const STREAM: StreamId = StreamId::Request(0);

    fn commit(sequence: u64, change: Change<u64>) -> Action<u64> {
        Action::Commit(Box::new(Record { sequence, change }))
    }

    fn opened() -> Step {
        let mut opened = step(post(1, 7, 70));
        opened.actions = vec![commit(1, Change::Opened { number: 0, requests: Vec::new() })];
        opened.after.logs = vec![LogView { stream: STREAM, ..log(0) }];
        opened.after.connections = vec![super::super::fixtures::attached(1, 0)];
        opened.after.connections[0].stream = Some(STREAM);
        opened
    }

    fn logged() -> Step {
        let entry = Entry::Message { body: 5, bytes: 0, kind: MessageKind::Notification };
        let mut logged = step(backend(notification(), 5));
        logged.actions = vec![commit(2, Change::Logged { stream: STREAM, index: 1, entry })];
        logged.after = opened().after;
        logged.after.logs[0].last = 1;
        logged.after.logs[0].newest = Some(Event::Message(5));
        logged
    }

    fn committed(through: u64, actions: Vec<Action<u64>>) -> Step {
        Step { actions, after: logged().after, ..step(Input::Committed { through }) }
    }

    fn run(steps: &[Step]) -> Result<(), String> {
        let config = config! { commits: true };
        let (mut commits, mut readers) = (Commits::default(), Readers::default());
        let mut before = View::default();
        steps.iter().try_for_each(|step| {
            let sent = readers.follow(&before, step);
            commits.follow(&config, &before, step)?;
            check(&commits, &config, &before, step, &sent)?;
            before.clone_from(&step.after);
            Ok(())
        })
    }

    fn event(event: Event<u64>) -> Action<u64> {
        send(1, STREAM, 1, event)
    }

    #[test]
    fn an_event_that_is_sent_before_its_commit_is_detected() {
        let message = || vec![event(Event::Message(5))];
        assert!(run(&[opened(), logged(), committed(2, message())]).is_ok());
        assert!(run(&[opened(), logged(), committed(1, message())]).is_err());
        let mut at_once = logged();
        at_once.actions.extend(message());
        assert!(run(&[opened(), at_once]).is_err());
    }

    #[test]
    fn a_priming_event_or_a_gap_before_the_opening_is_committed_is_detected() {
        let priming = || send(1, STREAM, 0, Event::Priming { retry: None });
        for sent in [priming(), event(Event::Gap { first: 1 })] {
            assert!(run(&[opened(), logged(), committed(1, vec![sent.clone()])]).is_ok());
            let mut early = opened();
            early.actions.push(sent);
            assert!(run(&[early]).is_err());
        }
    }

    #[test]
    fn a_failure_without_a_commit_is_detected_unless_the_session_closes() {
        let failure = |reason| event(Event::Failure(Failure { id: 7.into(), reason }));
        let mut end = committed(1, vec![failure(FailureReason::SessionClosed)]);
        assert!(run(&[opened(), logged(), end.clone()]).is_err());
        end.after.closed = Some(SessionCloseReason::Deleted);
        assert!(run(&[opened(), logged(), end.clone()]).is_ok());
        end.actions = vec![failure(FailureReason::Orphaned)];
        assert!(run(&[opened(), logged(), end]).is_err());
        let expired = committed(1, vec![failure(FailureReason::Expired)]);
        assert!(run(&[opened(), logged(), expired]).is_ok());
    }

    #[test]
    fn an_event_without_a_record_is_detected() {
        let mut silent = logged();
        silent.actions.clear();
        assert!(run(&[opened(), silent]).is_err());
    }

    #[test]
    fn a_record_out_of_order_is_detected() {
        let mut commits = Commits::default();
        let on = config! { commits: true };
        assert!(commits.clone().follow(&on, &View::default(), &opened()).is_ok());
        assert!(commits.clone().follow(&Config::default(), &View::default(), &opened()).is_err());
        assert!(commits.follow(&on, &View::default(), &logged()).is_err());
    }
}
