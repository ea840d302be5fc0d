//! Whoever keeps reading gets no gap at all: no event is evicted that a connection still
//! has to be sent, or was sent and did not take, unless its reader took nothing for
//! `stall_timeout_min` or `hold_timeout` at a time.
//!
//! Senders are held instead. So where the session is full, this holds as long as none was told
//! to wait, which it may not have done, and nothing else used up the last quarter: an answer,
//! after which there is nobody to wait, a client that came back for more, a reader that took
//! nothing for so long, or a message that is larger than that.

use std::{collections::BTreeMap, time::Duration};

use rejoin_core::{
    Action, Backpressure, Config, ConnectionId, EVENT_OVERHEAD_BYTES, Input, Instant, Report,
    RequestId, StreamId,
};

use super::silence::Silence;
use super::{ConnectionView, Step, View, answered_id};

/// What readers may miss.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowedLosses {
    /// At which index of their streams requests were answered.
    responses: BTreeMap<(StreamId, RequestId), u64>,
    /// Whether the session may be full although every sender waits that has to.
    may_be_full: bool,
}

/// Checks every stream that a reader reads.
pub(super) fn check(
    missable: &mut AllowedLosses,
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
    silence: &Silence,
) -> Result<(), String> {
    missable.note_response(config, before, step);
    let is_reading = |reader| is_reading(config, silence.total(now, reader));
    let verdict = missable.check(config, before, step, is_reading);
    missable.note_fullness(config, step, silence.readers().all(is_reading));
    verdict
}

/// Returns whether a reader that took nothing for so long still makes progress.
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
        let mut read = before.connections.iter().filter(|seat| {
            let carries_on = step.after.stream_on(seat.connection) == seat.stream;
            carries_on && !step.acknowledges(seat.connection) && is_reading(seat.connection)
        });
        let missed =
            read.find_map(|seat| Some((seat.connection, self.missed(before, step, seat)?)));
        missed.map_or(Ok(()), |(connection, missed)| {
            Err(format!("connection {connection} keeps reading, and misses {missed}"))
        })
    }

    /// Returns the index of an event that is evicted in a step, and was not taken on the
    /// connection that carries its stream.
    fn missed(&self, before: &View, step: &Step, seat: &ConnectionView) -> Option<u64> {
        let stream = seat.stream?;
        let (was, is) = (before.log(stream)?, step.after.log(stream)?);
        let answers = step.actions.iter().filter_map(|action| {
            let Action::Report(Report::ResponseEvicted { stream, id }) = action else {
                return None;
            };
            self.responses
                .get(&(*stream, id.clone()))
                .filter(|_| seat.stream == Some(*stream))
                .copied()
        });
        let others = (is.missed > was.missed).then_some(is.missed);
        let untaken = seat.cursor?.first_unacknowledged();
        answers.chain(others).find(|index| *index >= untaken)
    }

    /// Notes the index of an answer that is not replaced because of its size.
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

    /// Notes what may use up the last quarter of what the session may keep.
    fn note_fullness(&mut self, config: &Config, step: &Step, do_all_read: bool) {
        if step.after.bytes.saturating_mul(4) < config.session_bytes_max.saturating_mul(3) {
            self.may_be_full = false;
            return;
        }
        let is_answer = matches!(&step.input, Input::BackendMessage { message, .. }
            if answered_id(&message.head).is_some());
        let comes_back = matches!(&step.input, Input::Get { .. });
        let is_held = matches!(step.result, Ok(Backpressure::Hold(_)));
        self.may_be_full |= is_answer || comes_back || is_held || !do_all_read;
    }
}

/// Returns what is recorded in a step at most.
fn cost(step: &Step) -> usize {
    match &step.input {
        Input::BackendMessage { message, .. } => message.bytes.saturating_add(EVENT_OVERHEAD_BYTES),
        Input::Reserve { .. }
        | Input::Request { .. }
        | Input::Get { .. }
        | Input::Message { .. }
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
    use super::super::fixtures::{attached, backend, log, notification, response, step};
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn config() -> Config {
        Config { stall_timeout_min: Duration::from_secs(2), ..Config::default() }
    }

    /// A step in which the standalone stream had an event more, and a connection took nothing.
    fn told(last: u64) -> Step {
        let mut told = step(backend(notification(), last));
        told.after.logs = vec![log(last)];
        told.after.logs[0].newest = Some(Event::Message(last));
        told.after.connections = vec![attached(1, 0)];
        told
    }

    /// Evicts an event that a connection did not take, so long after it was sent.
    fn evict(seconds: u64, config: &Config) -> Result<(), String> {
        let mut silence = Silence::default();
        let mut before = told(1);
        before.after.connections[0].cursor.iter_mut().for_each(|cursor| cursor.sent(1, 1));
        silence.follow(at(1), &View::default(), &before);
        let mut after = before.clone();
        after.after.logs = vec![LogView { missed: 1, ..log(2) }];
        let missable = &mut AllowedLosses::default();
        check(missable, config, at(1 + seconds), &before.after, &after, &silence)
    }

    #[test]
    fn an_event_that_a_reader_misses_is_seen() {
        assert!(evict(1, &config()).is_err());
        assert!(evict(2, &config()).is_ok(), "it may be stalled");
        let hold_timeout = Some(Duration::from_secs(1));
        assert!(evict(1, &Config { hold_timeout, ..config() }).is_ok(), "nobody waits for it");
        let tiny = Config { session_bytes_max: 0, ..config() };
        assert!(evict(1, &tiny).is_ok(), "the message is too large for it");
    }

    #[test]
    fn a_full_session_is_no_excuse_while_every_sender_waits() {
        let config = Config { session_bytes_max: 4 * EVENT_OVERHEAD_BYTES, ..config() };
        let mut full = told(1);
        full.after.bytes = config.session_bytes_max;
        let mut after = told(2);
        after.after.logs[0].missed = 1;
        after.after.bytes = config.session_bytes_max;
        let see = |result| {
            let mut missable = AllowedLosses::default();
            let silence = Silence::default();
            let filled = Step { result, ..full.clone() };
            check(&mut missable, &config, at(1), &told(0).after, &filled, &silence)?;
            check(&mut missable, &config, at(1), &filled.after, &after, &silence)
        };
        assert!(see(Ok(Backpressure::None)).is_err());
        assert!(see(Ok(Backpressure::Hold(StreamId::Standalone))).is_ok(), "it did not wait");
    }

    #[test]
    fn an_answer_that_a_reader_misses_is_seen() {
        let stream = StreamId::Standalone;
        let evict = |bytes| {
            let mut missable = AllowedLosses::default();
            let silence = Silence::default();
            let mut before = told(0);
            before.after.requests = vec![(7.into(), stream)];
            let mut answered = step(backend(response(7), 1));
            if let Input::BackendMessage { message, .. } = &mut answered.input {
                message.bytes = bytes;
            }
            answered.after = told(1).after;
            check(&mut missable, &config(), at(1), &before.after, &answered, &silence)?;
            let mut evicted = told(2);
            evicted.actions =
                vec![Action::Report(Report::ResponseEvicted { stream, id: 7.into() })];
            check(&mut missable, &config(), at(1), &answered.after, &evicted, &silence)
        };
        assert!(evict(0).is_err());
        assert!(evict(config().message_bytes_max + 1).is_ok(), "it was never in the log");
    }
}
