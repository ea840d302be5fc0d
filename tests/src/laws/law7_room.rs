//! Law 7, room: a message is rejected as full only if there is no room for it. Its sender is
//! released as soon as there is, and not before; meanwhile readers that have stopped are cut, and no
//! others.
//!
//! What cannot be evicted is known by bounds: all that is in flight, and what readers have yet
//! to acknowledge, if they are active.

use std::{collections::BTreeMap, time::Duration};

use rejoin_core::{
    Action, Config, CutReason, EVENT_OVERHEAD_BYTES, Input, Instant, Rejection, StreamId,
};

use super::law7_limit::Limit;
use super::readers::{InFlight, Readers};
use super::silence::Silence;
use super::{ConnectionView, Step, View};

/// The streams that wait for room, and the cost of their smallest message, in bytes.
pub(super) type Waiting = BTreeMap<StreamId, usize>;

/// Bounds of the kept bytes that cannot be evicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unevictable {
    min: usize,
    pub(super) max: usize,
}

/// What a step did about messages that wait for room.
#[derive(Debug, Default)]
struct Changes {
    /// The cost of a message that was rejected as full.
    rejected: Option<usize>,
    /// The streams that no longer wait, and the cost of their smallest message.
    released: Vec<(StreamId, usize)>,
}

/// Checks the streams that wait for room after a step.
pub(super) fn check(
    waiting: &mut Waiting,
    config: &Config,
    now: Instant,
    (before, step): (&View, &Step),
    readers: &Readers,
    silence: &Silence,
) -> Result<(), String> {
    let changes = update(waiting, step);
    if !readers.is_exact() || waiting.is_empty() && changes.is_empty() {
        return Ok(());
    }
    let unevictable = Unevictable::after(config, now, step, readers, silence);
    // A connection that was cut may have made room, and a timer may have fired before the input.
    let has_cut = step.actions.iter().any(|action| matches!(action, Action::Cut { .. }));
    let is_due = before.deadline.is_some_and(|deadline| deadline <= now);
    if let Some(cost) = changes.rejected
        && !has_cut
        && unevictable.certainly_has_room(config, cost)
    {
        return Err(format!("a message of {cost} bytes is rejected as full, but {unevictable:?}"));
    }
    for (stream, cost) in changes.released {
        let is_removed = step.after.log(stream).is_none();
        if !is_due && !is_removed && unevictable.certainly_lacks_room(config, cost) {
            return Err(format!(
                "{stream} no longer waits for room for {cost} bytes, but {unevictable:?}"
            ));
        }
    }
    for (stream, cost) in waiting.iter() {
        if unevictable.certainly_has_room(config, *cost) && !may_be_behind(config, step, *stream) {
            return Err(format!("{stream} waits for room for {cost} bytes, but {unevictable:?}"));
        }
        if unevictable.certainly_lacks_room(config, *cost)
            && let Some(event) = in_flight_to_stopped(config, now, step, readers, silence)
        {
            return Err(format!(
                "{stream} waits for room, but the reader of {event:?} has stopped, and is not cut"
            ));
        }
    }
    Ok(())
}

/// Checks that only readers are cut that have been silent: for `stall_disconnect_timeout`, or for
/// a shorter time while a stream waits for room, or the session shrinks.
pub(super) fn check_cut(
    (waiting, limit): (&Waiting, &Limit),
    config: &Config,
    now: Instant,
    (before, step): (&View, &Step),
    silence: &Silence,
) -> Result<(), String> {
    let shorter = config.stall_timeout_min.min(config.hold_timeout.unwrap_or(Duration::MAX));
    let may_wait = !waiting.is_empty() || step.result == Err(Rejection::Full);
    let lacks_room = may_wait || limit.is_shrinking();
    let timeout = config.stall_disconnect_timeout.unwrap_or(Duration::MAX);
    let timeout = if lacks_room { timeout.min(shorter) } else { timeout };
    for action in &step.actions {
        let Action::Cut { connection, reason: CutReason::Stalled } = action else {
            continue;
        };
        let is_idle = before.connection(*connection).is_some_and(|view| view.stream.is_none());
        let has_stopped = match silence.of(now, *connection) {
            Some(silence) => silence >= timeout,
            // It drains, and was not reported as closed.
            None => is_idle || timeout.is_zero(),
        };
        if !has_stopped {
            return Err(format!("connection {connection} is cut, but its reader has not stopped"));
        }
    }
    Ok(())
}

/// Returns an event that is in flight to a reader that has stopped, if there is one.
pub(super) fn in_flight_to_stopped(
    config: &Config,
    now: Instant,
    step: &Step,
    readers: &Readers,
    silence: &Silence,
) -> Option<InFlight> {
    readers.in_flight().find(|event| {
        let are_others = step.after.has_pending_except(event.stream);
        silence.has_stopped(config, now, event.connection, are_others)
    })
}

/// Follows a step.
fn update(waiting: &mut Waiting, step: &Step) -> Changes {
    let mut changes = Changes::default();
    if let (Input::BackendMessage { message, .. }, Err(Rejection::Full)) =
        (&step.input, &step.result)
    {
        changes.rejected = Some(message.bytes.saturating_add(EVENT_OVERHEAD_BYTES));
    }
    for action in &step.actions {
        if let (Action::Hold { stream }, Some(cost)) = (action, changes.rejected) {
            let smallest = waiting.entry(*stream).or_insert(cost);
            *smallest = cost.min(*smallest);
        } else if let Action::Release { stream } = action {
            changes.released.extend(waiting.remove_entry(stream));
        }
    }
    if step.after.closed.is_some() {
        waiting.clear();
        return Changes::default();
    }
    if step.input == Input::BackendLost {
        // No message waits any more.
        changes.released.clear();
    }
    changes
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.rejected.is_none() && self.released.is_empty()
    }
}

/// Returns whether a stream may hold its senders because its reader is too far behind.
fn may_be_behind(config: &Config, step: &Step, stream: StreamId) -> bool {
    let is_half_full = step.after.bytes.saturating_mul(2) >= config.session_bytes_max;
    is_half_full && step.after.connections.iter().any(|view| view.stream == Some(stream))
}

impl Unevictable {
    pub(super) fn after(
        config: &Config,
        now: Instant,
        step: &Step,
        readers: &Readers,
        silence: &Silence,
    ) -> Self {
        let in_flight: usize = readers.in_flight().map(|event| event.cost).sum();
        let mut bounds = Self { min: in_flight, max: in_flight };
        for view in &step.after.connections {
            let awaited = view.awaited_bytes.saturating_sub(logged_in_flight(&step.after, view));
            let are_others = step.after.has_pending_except(view.stream);
            if !silence.is_stuck(config, now, view.connection, are_others) {
                bounds.max = bounds.max.saturating_add(awaited);
            }
            if silence.is_active(config, now, view.connection) {
                bounds.min = bounds.min.saturating_add(awaited);
            }
        }
        bounds
    }

    fn certainly_has_room(self, config: &Config, cost: usize) -> bool {
        self.max == 0 || self.max.saturating_add(cost) <= config.session_bytes_max
    }

    fn certainly_lacks_room(self, config: &Config, cost: usize) -> bool {
        self.min > 0 && self.min.saturating_add(cost) > config.session_bytes_max
    }
}

/// Returns the cost of the logged events in flight that the reader of a connection awaits.
fn logged_in_flight(view: &View, connection: &ConnectionView) -> usize {
    let log = connection.stream.and_then(|stream| view.log(stream)).zip(connection.cursor);
    log.map_or(0, |(log, cursor)| {
        let awaited =
            log.in_flight.iter().filter(|(index, _)| *index >= cursor.first_unacknowledged);
        awaited.map(|(_, cost)| cost).sum()
    })
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, Event, EventId};

    use super::super::LogView;
    use super::super::fixtures::{attached, backend, log, notification, position, send, step};
    use super::*;

    const STREAM: StreamId = StreamId::Standalone;
    const COST: usize = EVENT_OVERHEAD_BYTES;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    /// A reader of the standalone stream that was sent one event, and is silent since second 1.
    fn sent() -> (Readers, Silence, View) {
        let (mut readers, mut silence) = (Readers::default(), Silence::default());
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(STREAM, 0));
        readers.follow(&View::default(), &step(Input::Get { connection, last_event_id }));
        let mut sent = step(backend(notification(), 1));
        sent.actions = vec![send(1, STREAM, 1, Event::Message(1))];
        sent.after.logs = vec![LogView { bytes: COST, in_flight: vec![(1, COST)], ..log(1) }];
        sent.after.connections = vec![attached(1, 0)];
        sent.after.connections[0].cursor = Some(position(1, 0));
        sent.after.connections[0].awaited_bytes = COST;
        sent.after.bytes = COST;
        readers.follow(&View::default(), &sent);
        silence.follow(at(1), &View::default(), &sent);
        (readers, silence, sent.after)
    }

    fn full(after: &View) -> Step {
        let actions = vec![Action::Hold { stream: STREAM }];
        let result = Err(Rejection::Full);
        Step { result, actions, after: after.clone(), ..step(backend(notification(), 2)) }
    }

    fn config(events: usize) -> Config {
        let stall_timeout_min = Duration::from_secs(2);
        config! { session_bytes_max: events * COST, stall_timeout_min }
    }

    fn run(
        waiting: &mut Waiting,
        config: &Config,
        seconds: u64,
        step: &Step,
        (readers, silence): (&Readers, &Silence),
    ) -> Result<(), String> {
        check(waiting, config, at(seconds), (&View::default(), step), readers, silence)
    }

    #[test]
    fn a_message_that_is_rejected_although_there_is_room_is_detected() {
        let (readers, silence, after) = sent();
        let full = full(&after);
        let run = |config: &Config, step: &Step, readers: &Readers| {
            run(&mut Waiting::new(), config, 1, step, (readers, &silence))
        };
        assert!(run(&config(1), &full, &readers).is_ok());
        assert!(run(&config(2), &full, &readers).is_err());
        let nothing = Step { after: View::default(), ..full };
        assert!(run(&config(0), &nothing, &Readers::default()).is_err(), "nothing is kept");
    }

    #[test]
    fn a_sender_that_is_not_released_although_there_is_room_is_detected() {
        let (_, silence, mut after) = sent();
        after.bytes = 0;
        after.connections[0].awaited_bytes = 0;
        after.logs[0].in_flight.clear();
        let mut acknowledged = Step { after, ..step(Input::Tick) };
        let mut waiting = Waiting::from([(STREAM, COST)]);
        let readers = Readers::default();
        let mut run = |step: &Step| run(&mut waiting, &config(1), 1, step, (&readers, &silence));
        assert!(run(&acknowledged).is_err());
        acknowledged.actions = vec![Action::Release { stream: STREAM }];
        assert!(run(&acknowledged).is_ok());
    }

    #[test]
    fn a_sender_that_is_released_although_there_is_no_room_is_detected() {
        let (readers, silence, after) = sent();
        let mut released = Step { after, ..step(Input::Tick) };
        released.actions = vec![Action::Release { stream: STREAM }];
        let run = |config: &Config, step: &Step| {
            let mut waiting = Waiting::from([(STREAM, COST)]);
            run(&mut waiting, config, 1, step, (&readers, &silence))
        };
        assert!(run(&config(2), &released).is_ok());
        assert!(run(&config(1), &released).is_err());
        released.after.logs.clear();
        assert!(run(&config(1), &released).is_ok(), "the stream was removed");
    }

    #[test]
    fn a_reader_that_has_not_stopped_and_is_cut_is_detected() {
        let (_, silence, before) = sent();
        let config = config! {
            stall_disconnect_timeout: Some(Duration::from_secs(5)),
            ..config(1)
        };
        let run = |connection, seconds, waiting: &Waiting, limit: &Limit| {
            let mut cut = step(Input::Tick);
            let connection = ConnectionId(connection);
            cut.actions = vec![Action::Cut { connection, reason: CutReason::Stalled }];
            check_cut((waiting, limit), &config, at(seconds), (&before, &cut), &silence).is_ok()
        };
        let (waiting, none) = (Waiting::from([(STREAM, COST)]), Waiting::new());
        let mut limit = Limit::new(COST);
        assert!(!run(1, 2, &waiting, &limit) && run(1, 3, &waiting, &limit));
        assert!(!run(1, 5, &none, &limit) && run(1, 6, &none, &limit));
        assert!(!run(2, 9, &waiting, &limit), "it was just opened");
        limit.update(at(1), &before, &step(Input::LimitBytes { bytes_max: 0 }));
        assert!(!run(1, 2, &none, &limit) && run(1, 3, &none, &limit), "the session shrinks");
    }

    #[test]
    fn a_reader_that_has_stopped_and_is_not_cut_is_detected() {
        let (readers, silence, after) = sent();
        let tick = Step { after, ..step(Input::Tick) };
        let run = |seconds| {
            let mut waiting = Waiting::from([(STREAM, COST)]);
            run(&mut waiting, &config(1), seconds, &tick, (&readers, &silence))
        };
        assert!(run(2).is_ok());
        assert!(run(3).is_err());
    }
}
