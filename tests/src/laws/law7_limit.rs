//! Law 7, limit: a session whose limit is lowered below what it keeps shrinks, and keeps no more
//! than before until it has reached the limit. Above the limit, it keeps only what cannot be
//! evicted: what readers that make progress have yet to acknowledge. A limit that is not lower than
//! what it keeps evicts nothing.

use rejoin_core::{Action, Config, Input, Instant};

use super::law7_room::{Unevictable, in_flight_to_stopped};
use super::readers::Readers;
use super::silence::Silence;
use super::{Step, View};

/// The limit of the kept bytes of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    session_bytes_max: usize,
    bytes_max: usize,
    /// Whether the session may shrink to the limit in the current step.
    is_shrinking: bool,
    /// Whether it certainly does, if it keeps more than the limit after the step.
    is_certain: bool,
    /// What it kept after the last step, without the response to `initialize`.
    kept: usize,
}

impl Limit {
    /// Returns the limit of a session that was just created.
    pub(super) const fn new(session_bytes_max: usize) -> Self {
        Self {
            session_bytes_max,
            bytes_max: session_bytes_max,
            is_shrinking: false,
            is_certain: false,
            kept: 0,
        }
    }

    /// Applies the input of a step. Returns the limit in bytes.
    pub(super) fn update(&mut self, now: Instant, before: &View, step: &Step) -> usize {
        match step.input {
            Input::LimitBytes { bytes_max } => {
                self.bytes_max = bytes_max.min(self.session_bytes_max);
                (self.is_shrinking, self.is_certain) = (true, true);
            }
            // A timer may have ended the shrinking, and then a single event may be larger.
            Input::BackendMessage { .. } => self.is_certain &= !is_due(now, before),
            Input::Post { .. }
            | Input::Get { .. }
            | Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::BackendLost
            | Input::Committed { .. }
            | Input::Drain { .. }
            | Input::Tick => {}
        }
        self.bytes_max
    }

    /// Follows the effect of a step.
    pub(super) fn follow(&mut self, step: &Step, readers: &Readers) {
        let initialize = readers.in_flight().filter(|event| event.stream.is_none());
        let initialize_bytes: usize = initialize.map(|event| event.cost).sum();
        self.kept = step.after.bytes.saturating_sub(initialize_bytes);
        self.is_shrinking &= step.after.bytes > self.bytes_max;
        self.is_certain &= self.is_shrinking;
    }

    /// Returns whether the session may shrink.
    pub(super) const fn is_shrinking(&self) -> bool {
        self.is_shrinking
    }

    /// Returns how many bytes the session may keep after the current step.
    pub(super) fn kept_max(&self) -> usize {
        if self.is_shrinking { self.kept.max(self.bytes_max) } else { self.bytes_max }
    }
}

/// Checks that a session that stays above its limit keeps only what it must.
pub(super) fn check(
    limit: &Limit,
    config: &Config,
    now: Instant,
    step: &Step,
    readers: &Readers,
    silence: &Silence,
) -> Result<(), String> {
    let kept = step.after.bytes;
    if !limit.is_certain || kept <= limit.bytes_max || !readers.is_exact() {
        return Ok(());
    }
    let unevictable = Unevictable::after(config, now, step, readers, silence);
    if kept > unevictable.max {
        return Err(format!("{kept} bytes are kept above {limit:?}, but {unevictable:?}"));
    }
    match in_flight_to_stopped(config, now, step, readers, silence) {
        Some(event) => Err(format!(
            "the session shrinks, but the reader of {event:?} has stopped, and is not cut"
        )),
        None => Ok(()),
    }
}

/// Checks that a limit evicts nothing if it is not lower than what is kept. If a timer has fired,
/// or a connection was cut, this is not certain.
pub(super) fn check_kept(
    limit: &Limit,
    now: Instant,
    before: &View,
    step: &Step,
) -> Result<(), String> {
    let has_cut = step.actions.iter().any(|action| matches!(action, Action::Cut { .. }));
    let is_limited = matches!(step.input, Input::LimitBytes { .. });
    if !is_limited || before.bytes > limit.bytes_max || is_due(now, before) || has_cut {
        return Ok(());
    }
    if step.after.bytes != before.bytes {
        return Err(format!(
            "{limit:?} is not lower than {}, but {} bytes are kept",
            before.bytes, step.after.bytes
        ));
    }
    Ok(())
}

/// Returns whether a timer may have fired before the input.
fn is_due(now: Instant, before: &View) -> bool {
    before.deadline.is_some_and(|deadline| deadline <= now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::{ConnectionId, CutReason, EVENT_OVERHEAD_BYTES, Event, EventId, StreamId};

    use super::super::LogView;
    use super::super::fixtures::{attached, backend, log, notification, position, send, step};
    use super::*;

    const COST: usize = EVENT_OVERHEAD_BYTES;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn limit_bytes(bytes_max: usize) -> Step {
        step(Input::LimitBytes { bytes_max })
    }

    fn update(limit: &mut Limit, step: &Step) -> usize {
        limit.update(at(0), &View::default(), step)
    }

    /// The limit of a session that shrinks from one event to nothing.
    fn shrinking() -> Limit {
        let mut limit = Limit { kept: COST, ..Limit::new(9 * COST) };
        assert_eq!(update(&mut limit, &limit_bytes(0)), 0);
        limit
    }

    /// A reader of the standalone stream that was sent the first of two events in second 1.
    fn sent() -> (Readers, Silence, View) {
        let (mut readers, mut silence) = (Readers::default(), Silence::default());
        let stream = StreamId::Standalone;
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(stream, 0));
        readers.follow(&View::default(), &step(Input::Get { connection, last_event_id }));
        let mut sent = step(backend(notification(), 1));
        sent.actions = vec![send(1, stream, 1, Event::Message(1))];
        sent.after.logs = vec![LogView { bytes: 2 * COST, in_flight: vec![(1, COST)], ..log(2) }];
        sent.after.connections = vec![attached(1, 0)];
        sent.after.connections[0].cursor = Some(position(1, 0));
        sent.after.connections[0].awaited_bytes = 2 * COST;
        sent.after.bytes = 2 * COST;
        readers.follow(&View::default(), &sent);
        silence.follow(at(1), &View::default(), &sent);
        (readers, silence, sent.after)
    }

    fn run(config: &Config, limit: &Limit, seconds: u64, after: &View) -> Result<(), String> {
        let (readers, silence, _) = sent();
        let tick = Step { after: after.clone(), ..step(Input::Tick) };
        check(limit, config, at(seconds), &tick, &readers, &silence)
    }

    #[test]
    fn the_limit_is_that_of_the_last_input_or_of_the_config() {
        let mut limit = Limit::new(500);
        assert_eq!(update(&mut limit, &step(Input::Tick)), 500);
        assert_eq!(update(&mut limit, &limit_bytes(400)), 400);
        assert_eq!(update(&mut limit, &step(Input::Tick)), 400);
        assert_eq!(update(&mut limit, &limit_bytes(usize::MAX)), 500);
    }

    #[test]
    fn a_session_that_shrinks_keeps_no_more_than_before() {
        let (readers, _, mut after) = sent();
        let mut limit = shrinking();
        assert_eq!(limit.kept_max(), COST);
        limit.follow(&Step { after: after.clone(), ..limit_bytes(0) }, &readers);
        assert_eq!(limit.kept_max(), 2 * COST);
        after.bytes = 0;
        limit.follow(&Step { after, ..step(Input::Tick) }, &readers);
        assert!(!limit.is_shrinking());
        assert_eq!(limit.kept_max(), 0);
    }

    #[test]
    fn an_event_that_could_be_evicted_to_shrink_is_detected() {
        let config = config! { stall_timeout_max: None };
        let (.., mut after) = sent();
        assert!(run(&config, &shrinking(), 1, &after).is_ok());
        after.bytes += COST;
        assert!(run(&config, &shrinking(), 1, &after).is_err(), "no reader awaits one of them");
        assert!(run(&config, &Limit::new(0), 1, &after).is_ok(), "the limit was not lowered");
        after.bytes = 2 * COST;
        after.connections.clear();
        assert!(run(&config, &shrinking(), 1, &after).is_err(), "the reader is gone");
    }

    #[test]
    fn a_message_may_exceed_the_limit_once_a_timer_has_ended_the_shrinking() {
        let (.., mut after) = sent();
        after.connections.clear();
        let before = View { deadline: Some(at(1)), ..View::default() };
        let recorded = step(backend(notification(), 1));
        let mut limit = shrinking();
        limit.update(at(0), &before, &recorded);
        assert!(run(&Config::default(), &limit, 0, &after).is_err());
        limit.update(at(1), &before, &recorded);
        assert!(run(&Config::default(), &limit, 1, &after).is_ok());
    }

    #[test]
    fn an_event_of_a_stuck_stream_that_could_be_evicted_to_shrink_is_detected() {
        let timeout = Duration::from_secs(3);
        let config = config! { stall_timeout_min: timeout, stall_timeout_max: Some(timeout) };
        let (.., mut after) = sent();
        assert!(run(&config, &shrinking(), 3, &after).is_ok());
        assert!(run(&config, &shrinking(), 4, &after).is_err());
        after.bytes = COST;
        let error = run(&config, &shrinking(), 4, &after).unwrap_err();
        assert!(error.contains("has stopped"), "{error}");
    }

    #[test]
    fn a_stopped_reader_that_is_not_cut_to_shrink_is_detected() {
        let stall_timeout_min = Duration::from_secs(2);
        let config = config! { stall_timeout_min, stall_timeout_max: None };
        let (.., after) = sent();
        assert!(run(&config, &shrinking(), 2, &after).is_ok());
        assert!(run(&config, &shrinking(), 3, &after).is_err());
    }

    #[test]
    fn a_limit_that_evicts_something_although_it_is_not_lower_is_detected() {
        let run = |bytes_max, evicting: &Step| {
            let before = View { bytes: COST, deadline: Some(at(1)), ..View::default() };
            check_kept(&Limit::new(bytes_max), at(0), &before, evicting)
        };
        let mut evicting = limit_bytes(COST);
        assert!(run(COST - 1, &evicting).is_ok());
        assert!(run(COST, &evicting).is_err());
        let (connection, reason) = (ConnectionId(1), CutReason::Stalled);
        evicting.actions = vec![Action::Cut { connection, reason }];
        assert!(run(COST, &evicting).is_ok(), "a connection was cut");
    }
}
