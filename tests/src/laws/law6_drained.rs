//! Law 6, draining: a session that drains accepts no request, and loses none that it has accepted.
//!
//! It closes by itself only when no request is pending, nothing is in flight on a closed connection,
//! and every client that can come back has acknowledged the end of its complete streams. If it has
//! nothing left to wait for, it is closed, by a tick at the latest.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::{Action, ConnectionId, Input, Instant, SessionCloseReason, StreamId};

use super::{ConnectionView, LogView, Position, Step, View, posted};

/// Whether a session drains, and what it may have to wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct Drained {
    is_draining: bool,
    /// Whether the session is initialized.
    is_initialized: bool,
    /// The stream that a connection is, or was, attached to.
    streams: BTreeMap<ConnectionId, StreamId>,
    /// The upper bound of the acknowledged index of a stream.
    acknowledged: BTreeMap<StreamId, u64>,
    /// The lower bound of it: what was acknowledged on a connection that was attached to it.
    surely_acknowledged: BTreeMap<StreamId, u64>,
    /// The request streams whose clients have an event id to resume after.
    resumable: BTreeSet<StreamId>,
}

/// Checks a step of a session that drains.
pub(super) fn check(
    drained: &mut Drained,
    now: Instant,
    before: &View,
    step: &Step,
) -> Result<(), String> {
    let was_draining = drained.is_draining;
    drained.follow(before, step);
    if !drained.is_draining {
        return Ok(());
    }
    if was_draining
        && step.result.is_ok()
        && posted(&step.input).iter().any(|message| message.head.is_request())
    {
        return Err("it drains, but a request was accepted".to_owned());
    }
    match step.actions.last() {
        Some(Action::SessionClosed { reason, pending_requests, .. }) => {
            let is_own = *reason == SessionCloseReason::ServerShutdown
                && !matches!(step.input, Input::CloseSession { .. });
            if is_own && drained.is_initialized && !pending_requests.is_empty() {
                return Err(format!("it has drained, but {pending_requests:?} are pending"));
            }
            if is_own { drained.check_acknowledged(now, before, step) } else { Ok(()) }
        }
        _ if step.after.closed.is_none() && step.result.is_ok() => drained.check_waits(&step.after),
        _ => Ok(()),
    }
}

impl Drained {
    /// Checks that a session that drains, and is open, may have something to wait for.
    fn check_waits(&self, view: &View) -> Result<(), String> {
        let is_awaited = |log: &LogView| {
            let acknowledged = self.surely_acknowledged.get(&log.stream).copied();
            let is_attached = || view.connections.iter().any(|it| it.stream == Some(log.stream));
            log.stream != StreamId::Standalone
                && acknowledged.unwrap_or_default() < log.last
                && (self.resumable.contains(&log.stream) || is_attached())
        };
        let waits = view.pending > 0
            || view.logs.iter().any(is_awaited)
            || view.connections.iter().any(is_draining);
        if waits { Ok(()) } else { Err("it drains and waits for nothing, but is open".to_owned()) }
    }

    fn follow(&mut self, before: &View, step: &Step) {
        self.note_acknowledged(before, step);
        for view in before.connections.iter().chain(&step.after.connections) {
            self.streams.extend(view.stream.map(|stream| (view.connection, stream)));
        }
        for action in &step.actions {
            if let Action::Send { connection, id, .. } = action {
                self.resumable.insert(id.stream);
                // It may be attached and closed within the step.
                self.streams.insert(*connection, id.stream);
            }
        }
        self.is_initialized |= !before.requests.is_empty() || !step.after.requests.is_empty();
        self.is_draining |= matches!(step.input, Input::Drain { .. }) && before.closed.is_none();
    }

    fn note_acknowledged(&mut self, before: &View, step: &Step) {
        let (stream, through) = match &step.input {
            Input::Acknowledged { connection, through }
            | Input::ConnectionClosed { connection, through: Some(through) } => {
                let Some(stream) = self.streams.get(connection) else { return };
                let cursor = before.connection(*connection).and_then(|view| view.cursor);
                let last_sent = cursor.map_or(0, |cursor| cursor.next.saturating_sub(1));
                let through = last_sent.min(*through);
                let attached = before.connection(*connection).and_then(|view| view.stream);
                if attached == Some(*stream) && step.result.is_ok() {
                    let surely = self.surely_acknowledged.entry(*stream).or_default();
                    *surely = through.max(*surely);
                }
                (*stream, through)
            }
            Input::Get { last_event_id: Some(id), .. } if step.result.is_ok() => {
                self.resumable.insert(id.stream);
                (id.stream, id.index)
            }
            Input::Post { .. }
            | Input::Get { .. }
            | Input::ConnectionClosed { .. }
            | Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::BackendLost
            | Input::Committed { .. }
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Tick => return,
        };
        let acknowledged = self.acknowledged.entry(stream).or_default();
        *acknowledged = through.max(*acknowledged);
    }

    /// Checks that a session that has drained did not wait any more before this step, except for
    /// what the input acknowledges. Other inputs, and timers, may change more than that.
    fn check_acknowledged(&self, now: Instant, before: &View, step: &Step) -> Result<(), String> {
        let is_exact = matches!(step.input, Input::Acknowledged { .. } | Input::Drain { .. });
        let completes = |action: &Action<u64>| {
            matches!(action, Action::Cut { .. })
                || matches!(action, Action::Close { connection, .. }
                if before.stream_on(*connection) != Some(StreamId::Standalone))
        };
        let is_due = before.deadline.is_some_and(|deadline| deadline <= now);
        if !is_exact || is_due || step.actions.iter().any(completes) {
            return Ok(());
        }
        let in_flight = before.connections.iter().find(|view| {
            is_draining(view) && view.cursor.is_some_and(|it| !acknowledges_all(step, view, it))
        });
        if let Some(view) = in_flight {
            return Err(format!("it has drained, but {} was not read to its end", view.connection));
        }
        let is_awaited = |stream: StreamId, last: u64| {
            let acknowledged = self.acknowledged.get(&stream).copied().unwrap_or_default();
            stream != StreamId::Standalone
                && self.resumable.contains(&stream)
                && acknowledged < last
        };
        match before.logs.iter().find(|log| is_awaited(log.stream, log.last)) {
            Some(log) => Err(format!("it has drained, but the client lacks {}", log.stream)),
            None => Ok(()),
        }
    }
}

/// Returns whether a connection is closed, and something is in flight on it.
fn is_draining(view: &ConnectionView) -> bool {
    view.stream.is_none() && view.cursor.is_some_and(|cursor| cursor.has_unacknowledged())
}

/// Returns whether the input acknowledges everything that was sent on a connection.
fn acknowledges_all(step: &Step, view: &ConnectionView, cursor: Position) -> bool {
    matches!(&step.input, Input::Acknowledged { connection, through }
        if *connection == view.connection && through.saturating_add(1) >= cursor.next)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::Event;

    use super::super::fixtures::{attached, log, position, post, send, step};
    use super::*;

    const STREAM: StreamId = StreamId::Request(0);
    const DRAIN: Input<u64> = Input::Drain { retry: Duration::ZERO };

    /// A session that drains, and whose client was sent an event with an id.
    fn draining() -> Drained {
        let streams = [(ConnectionId(1), STREAM)].into();
        Drained {
            is_draining: true,
            is_initialized: true,
            streams,
            resumable: [STREAM].into(),
            ..Drained::default()
        }
    }

    /// A step that closes the session, with these requests pending.
    fn closes(input: Input<u64>, pending: &[i64]) -> Step {
        let reason = SessionCloseReason::ServerShutdown;
        let pending_requests = pending.iter().map(|id| (*id).into()).collect();
        let closed =
            Action::SessionClosed { reason, pending_requests, server_requests: Vec::new() };
        let mut step = step(input);
        step.actions.push(closed);
        step.after.closed = Some(reason);
        step
    }

    fn run(before: &View, step: &Step) -> bool {
        check(&mut draining(), Instant::EPOCH, before, step).is_ok()
    }

    fn view(connections: Vec<ConnectionView>) -> View {
        View { connections, ..View::default() }
    }

    #[test]
    fn an_accepted_request_is_detected() {
        let mut accepted = step(post(2, 7, 1));
        accepted.after.pending = 1;
        assert!(!run(&View::default(), &accepted));
        let mut refused = accepted;
        refused.result = Err(rejoin_core::Rejection::Draining);
        assert!(run(&View::default(), &refused));
    }

    #[test]
    fn an_end_with_a_pending_request_is_detected() {
        assert!(run(&View::default(), &closes(DRAIN, &[])));
        assert!(!run(&View::default(), &closes(DRAIN, &[7])));
        let reason = SessionCloseReason::ServerShutdown;
        assert!(run(&View::default(), &closes(Input::CloseSession { reason }, &[7])));
    }

    #[test]
    fn an_end_with_an_event_in_flight_is_detected() {
        let connection = ConnectionId(1);
        let closed =
            ConnectionView { stream: None, cursor: Some(position(2, 1)), ..attached(1, 0) };
        let before = view(vec![closed]);
        assert!(!run(&before, &closes(DRAIN, &[])));
        assert!(!run(&before, &closes(Input::Acknowledged { connection, through: 1 }, &[])));
        assert!(run(&before, &closes(Input::Acknowledged { connection, through: 2 }, &[])));
    }

    #[test]
    fn an_end_before_a_client_comes_back_is_detected() {
        let mut before = view(Vec::new());
        before.logs.push(LogView { stream: STREAM, ..log(2) });
        let end = closes(DRAIN, &[]);
        assert!(!run(&before, &end));
        let run = |drained: Drained| {
            let mut drained = drained;
            check(&mut drained, Instant::EPOCH, &before, &end).is_ok()
        };
        assert!(run(Drained { acknowledged: [(STREAM, 2)].into(), ..draining() }));
        assert!(!run(Drained { acknowledged: [(STREAM, 1)].into(), ..draining() }));
        let mut without_id = Drained { resumable: BTreeSet::new(), ..draining() };
        assert!(run(without_id.clone()), "it cannot come back");
        let mut sends = step(Input::Tick);
        sends.actions.push(send(1, STREAM, 1, Event::Priming { retry: None }));
        without_id.follow(&before, &sends);
        assert!(!run(without_id));
    }

    #[test]
    fn a_session_that_stays_open_is_detected() {
        assert!(!run(&View::default(), &step(DRAIN)));
        assert!(!run(&View::default(), &step(Input::Tick)));
        let mut waits = step(DRAIN);
        waits.after.pending = 1;
        assert!(run(&View::default(), &waits));
    }

    #[test]
    fn a_session_that_waits_for_what_was_acknowledged_is_detected() {
        let mut waits = step(DRAIN);
        waits.after.logs.push(LogView { stream: STREAM, ..log(2) });
        let run = |drained: Drained| {
            let mut drained = drained;
            check(&mut drained, Instant::EPOCH, &View::default(), &waits).is_ok()
        };
        assert!(run(draining()));
        assert!(run(Drained { surely_acknowledged: [(STREAM, 1)].into(), ..draining() }));
        assert!(!run(Drained { surely_acknowledged: [(STREAM, 2)].into(), ..draining() }));
        assert!(!run(Drained { resumable: BTreeSet::new(), ..draining() }), "it cannot come back");
    }
}
