//! Law 4, no gap for a reader that keeps reading: an event that an attached connection has
//! not acknowledged is not evicted, unless its reader acknowledged nothing for
//! `stall_timeout_min` or `hold_timeout`.
//!
//! Senders are held instead. In a full session, this is checked as long as no sender was
//! told to hold (it may have gone on), and nothing else used up the last quarter of
//! `session_bytes_max`: a response, which cannot be held; a client that resumed; a reader
//! that was silent for as long; or a message that is larger than that quarter.

use std::{collections::BTreeMap, time::Duration};

use rejoin_core::{
    Action, Config, ConnectionId, EVENT_OVERHEAD_BYTES, Input, Instant, Report, RequestId, StreamId,
};

use super::silence::Silence;
use super::{ConnectionView, Step, View, answered_id};

/// When readers may miss events, and the indexes of responses.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowedLosses {
    /// The index of the response to each request.
    responses: BTreeMap<(StreamId, RequestId), u64>,
    /// Whether the session may be full although every held sender waits.
    may_be_full: bool,
}

/// Checks every stream that has a reader.
pub(super) fn check(
    allowed_losses: &mut AllowedLosses,
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
    silence: &Silence,
) -> Result<(), String> {
    allowed_losses.note_response(config, before, step);
    let is_reading = |reader| is_reading(config, silence.total(now, reader));
    let result = allowed_losses.check(config, before, step, is_reading);
    allowed_losses.note_fullness(config, step, silence.readers().all(is_reading));
    result
}

/// Returns whether a reader that was silent for so long counts as reading.
fn is_reading(config: &Config, silence: Duration) -> bool {
    let hold_timeout = config.hold_timeout.unwrap_or(Duration::MAX);
    silence.is_zero() || silence < config.stall_timeout_min.min(hold_timeout)
}

impl AllowedLosses {
    fn check(
        &self,
        config: &Config,
        before: &View,
        step: &Step,
        is_reading: impl Fn(ConnectionId) -> bool,
    ) -> Result<(), String> {
        let cost = cost(step);
        let is_full = before.bytes.saturating_add(cost) > config.session_bytes_max;
        let is_large = cost.saturating_mul(4) > config.session_bytes_max;
        if is_full && (self.may_be_full || is_large) {
            return Ok(());
        }
        let mut read = before.connections.iter().filter(|view| {
            let stays_attached = step.after.stream_on(view.connection) == view.stream;
            stays_attached && !step.acknowledges(view.connection) && is_reading(view.connection)
        });
        let missed =
            read.find_map(|view| Some((view.connection, self.missed(before, step, view)?)));
        missed.map_or(Ok(()), |(connection, missed)| {
            Err(format!("connection {connection} keeps reading, but misses {missed}"))
        })
    }

    /// Returns the index of an event that a step evicted although the attached connection
    /// has not acknowledged it.
    fn missed(&self, before: &View, step: &Step, view: &ConnectionView) -> Option<u64> {
        let stream = view.stream?;
        let (was, is) = (before.log(stream)?, step.after.log(stream)?);
        let responses = step.actions.iter().filter_map(|action| {
            let Action::Report(Report::ResponseEvicted { stream, id }) = action else {
                return None;
            };
            self.responses
                .get(&(*stream, id.clone()))
                .filter(|_| view.stream == Some(*stream))
                .copied()
        });
        let others = (is.missed > was.missed).then_some(is.missed);
        let first_unacknowledged = view.cursor?.first_unacknowledged;
        responses.chain(others).find(|index| *index >= first_unacknowledged)
    }

    /// Notes the index of a response that is not replaced because of its size.
    fn note_response(&mut self, config: &Config, before: &View, step: &Step) {
        self.responses.retain(|(stream, _), _| step.after.log(*stream).is_some());
        let Input::BackendMessage { message, .. } = &step.input else { return };
        let Some(id) = answered_id(&message.head) else { return };
        let Some(stream) = before.stream_of(id) else { return };
        if let Some(log) = step.after.log(stream)
            && message.bytes <= config.message_bytes_max
        {
            self.responses.insert((stream, id.clone()), log.last);
        }
    }

    /// Notes what may use up the last quarter of `session_bytes_max`.
    fn note_fullness(&mut self, config: &Config, step: &Step, are_all_reading: bool) {
        if step.after.bytes.saturating_mul(4) < config.session_bytes_max.saturating_mul(3) {
            self.may_be_full = false;
            return;
        }
        let is_response = matches!(&step.input, Input::BackendMessage { message, .. }
            if answered_id(&message.head).is_some());
        let is_resume = matches!(&step.input, Input::Get { .. });
        let is_held = step.actions.iter().any(|action| matches!(action, Action::Hold { .. }));
        self.may_be_full |= is_response || is_resume || is_held || !are_all_reading;
    }
}

/// Returns the maximum cost of what is recorded in a step, in bytes.
fn cost(step: &Step) -> usize {
    match &step.input {
        Input::BackendMessage { message, .. } => message.bytes.saturating_add(EVENT_OVERHEAD_BYTES),
        Input::Post { .. }
        | Input::Get { .. }
        | Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::Abandon { .. }
        | Input::Delete
        | Input::CloseSession { .. }
        | Input::Disconnect { .. }
        | Input::BackendGone
        | Input::Tick => 0,
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::Event;

    use super::super::LogView;
    use super::super::fixtures::{attached, backend, log, notification, position, response, step};
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn config() -> Config {
        Config { stall_timeout_min: Duration::from_secs(2), ..Config::default() }
    }

    /// A step that records an event on the standalone stream, where a connection acknowledges
    /// nothing.
    fn recorded(last: u64) -> Step {
        let mut recorded = step(backend(notification(), last));
        recorded.after.logs = vec![log(last)];
        recorded.after.logs[0].newest = Some(Event::Message(last));
        recorded.after.connections = vec![attached(1, 0)];
        recorded
    }

    /// Evicts an unacknowledged event so many seconds after it was sent.
    fn evict(seconds: u64, config: &Config) -> Result<(), String> {
        let mut silence = Silence::default();
        let mut before = recorded(1);
        before.after.connections[0].cursor = Some(position(1, 0));
        silence.follow(at(1), &View::default(), &before);
        let mut after = before.clone();
        after.after.logs = vec![LogView { missed: 1, ..log(2) }];
        let allowed_losses = &mut AllowedLosses::default();
        check(allowed_losses, config, at(1 + seconds), &before.after, &after, &silence)
    }

    #[test]
    fn an_event_missed_by_a_reader_is_detected() {
        assert!(evict(1, &config()).is_err());
        assert!(evict(2, &config()).is_ok(), "the reader may be stalled");
        let hold_timeout = Some(Duration::from_secs(1));
        assert!(
            evict(1, &Config { hold_timeout, ..config() }).is_ok(),
            "senders no longer wait for it"
        );
        let tiny = Config { session_bytes_max: 0, ..config() };
        assert!(evict(1, &tiny).is_ok(), "the message is too large for the session");
    }

    #[test]
    fn a_full_session_allows_no_loss_while_every_sender_waits() {
        let config = Config { session_bytes_max: 4 * EVENT_OVERHEAD_BYTES, ..config() };
        let mut full = recorded(1);
        full.after.bytes = config.session_bytes_max;
        let mut after = recorded(2);
        after.after.logs[0].missed = 1;
        after.after.bytes = config.session_bytes_max;
        let run = |actions| {
            let mut allowed_losses = AllowedLosses::default();
            let silence = Silence::default();
            let full_step = Step { actions, ..full.clone() };
            check(&mut allowed_losses, &config, at(1), &recorded(0).after, &full_step, &silence)?;
            check(&mut allowed_losses, &config, at(1), &full_step.after, &after, &silence)
        };
        assert!(run(Vec::new()).is_err());
        assert!(
            run(vec![Action::Hold { stream: StreamId::Standalone }]).is_ok(),
            "the sender did not wait"
        );
    }

    #[test]
    fn a_response_missed_by_a_reader_is_detected() {
        let stream = StreamId::Standalone;
        let evict = |bytes| {
            let mut allowed_losses = AllowedLosses::default();
            let silence = Silence::default();
            let mut before = recorded(0);
            before.after.requests = vec![(7.into(), stream)];
            let mut answered = step(backend(response(7), 1));
            if let Input::BackendMessage { message, .. } = &mut answered.input {
                message.bytes = bytes;
            }
            answered.after = recorded(1).after;
            check(&mut allowed_losses, &config(), at(1), &before.after, &answered, &silence)?;
            let mut evicted = recorded(2);
            evicted.actions =
                vec![Action::Report(Report::ResponseEvicted { stream, id: 7.into() })];
            check(&mut allowed_losses, &config(), at(1), &answered.after, &evicted, &silence)
        };
        assert!(evict(0).is_err());
        assert!(evict(config().message_bytes_max + 1).is_ok(), "the response was never in the log");
    }
}
