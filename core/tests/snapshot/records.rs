//! Restores from a snapshot and the records after it.

use std::time::Duration;

use rejoin_core::{
    Action, Actions, Change, ClientFault, Config, ConnectionId, Entry, Event, EventId, Input,
    MessageKind, Overflow, Record, Rejection, RestoreError, Session, SessionCloseReason, StreamId,
    UnansweredReason, ValidConfig,
};

use crate::{at, closed, config, get, log_message, progress, request, response, server_request};

pub(crate) const SKIP: u64 = 1 << 32;

fn committing() -> ValidConfig {
    limited(|_| ())
}

fn limited(limit: impl FnOnce(&mut Config)) -> ValidConfig {
    let mut config = (*config()).clone();
    config.commits = true;
    limit(&mut config);
    config.validate().unwrap()
}

/// A session that handled inputs, with its snapshot after some of them, and the records since.
pub(crate) struct Recorded {
    config: ValidConfig,
    pub(crate) session: Session<u64>,
    pub(crate) snapshot: rejoin_core::Snapshot<u64>,
    pub(crate) records: Vec<Record<u64>>,
}

impl Recorded {
    pub(crate) fn new(inputs: &[Input<u64>], snapshot_after: usize) -> Self {
        Self::with(&committing(), inputs, snapshot_after)
    }

    fn with(config: &ValidConfig, inputs: &[Input<u64>], snapshot_after: usize) -> Self {
        let mut session = Session::new(config.clone(), at(0));
        let (mut snapshot, mut records) = (session.snapshot(), Vec::new());
        for (step, input) in inputs.iter().enumerate() {
            let mut out = Actions::<u64>::new();
            let now = at(10 * step as u64);
            let result = session.handle(now, input.clone(), &mut out);
            assert!(result.is_ok(), "{input:?}: {result:?}");
            records.extend(out.drain().filter_map(record));
            let through = records.last().map_or(0, |record: &Record<u64>| record.sequence);
            // What was recorded before the snapshot may be known to it only.
            let _ = session.handle(now, Input::Committed { through }, &mut out);
            records.extend(out.drain().filter_map(record));
            if step + 1 == snapshot_after {
                snapshot = session.snapshot();
                records.clear();
            }
        }
        Self { config: config.clone(), session, snapshot, records }
    }

    pub(crate) fn restore(
        &self,
        records: &[Record<u64>],
        skip: u64,
    ) -> Result<Session<u64>, RestoreError> {
        self.restore_by(records.iter().cloned(), skip, &mut Actions::new())
    }

    fn restore_by(
        &self,
        records: impl Iterator<Item = Record<u64>>,
        skip: u64,
        out: &mut Actions<u64>,
    ) -> Result<Session<u64>, RestoreError> {
        let (snapshot, config) = (self.snapshot.clone(), self.config.clone());
        Session::restore_with(snapshot, records, skip, config, at(5_000), out)
    }

    /// Returns the actions of a restore.
    fn actions(&self, records: &[Record<u64>]) -> Vec<Action<u64>> {
        let mut out = Actions::new();
        self.restore_by(records.iter().cloned(), SKIP, &mut out).unwrap();
        out.drain().collect()
    }
}

fn record(action: Action<u64>) -> Option<Record<u64>> {
    if let Action::Commit(record) = action { Some(*record) } else { None }
}

pub(crate) fn live() -> Vec<Input<u64>> {
    vec![request(1, 0, None), response(0), closed(1, Some(1))]
}

/// Two requests, the first of which is answered, and an event that the client has.
pub(crate) fn inputs() -> Vec<Input<u64>> {
    let mut inputs = live();
    inputs.extend([
        request(2, 1, Some(1)),
        request(3, 2, None),
        progress(1),
        Input::Acknowledged { connection: ConnectionId(2), through: 1 },
        response(1),
        get(4, None),
        log_message(),
        Input::Acknowledged { connection: ConnectionId(4), through: 1 },
        log_message(),
    ]);
    inputs
}

fn sent(session: &mut Session<u64>, input: Input<u64>) -> Vec<(EventId, bool)> {
    let mut out = Actions::<u64>::new();
    session.handle(at(6_000), input, &mut out).unwrap();
    let sent = out.drain().filter_map(|action| {
        let Action::Send { id, event, .. } = action else {
            return None;
        };
        Some((id, matches!(event, Event::Message(_))))
    });
    sent.collect()
}

#[test]
fn what_was_recorded_is_served() {
    for snapshot_after in 3..=inputs().len() {
        let recorded = Recorded::new(&inputs(), snapshot_after);
        let mut session = recorded.restore(&recorded.records, SKIP).unwrap();
        let id = |number, index| EventId::new(StreamId::Request(number), index);
        let answers = sent(&mut session, get(10, Some(id(0, 1))));
        assert_eq!(answers, [(id(0, 2), true)], "snapshot after {snapshot_after} inputs");
        // The standalone stream goes on after what was acknowledged.
        let second = EventId::new(StreamId::Standalone, 2);
        assert_eq!(sent(&mut session, get(11, None)), [(second, true)]);
        // The other request is pending. Nobody was told of the index that comes next.
        assert_eq!(session.stream_of(&2.into()), Some(StreamId::Request(1)));
        assert_eq!(session.pending_requests(), 1);
        let mut out = Actions::<u64>::new();
        session.handle(at(6_000), response(2), &mut out).unwrap();
        let logged = out.drain().find_map(record).unwrap();
        assert!(
            matches!(logged.change, Change::Logged { index, .. } if index == SKIP + 1),
            "{logged:?}"
        );
        session.handle(at(6_000), request(12, 3, None), &mut out).unwrap();
        assert_eq!(session.stream_of(&3.into()), Some(StreamId::Request(SKIP + 2)));
        // All of it is committed, but not what comes now.
        session.handle(at(6_000), log_message(), &mut out).unwrap();
        let first = EventId::new(StreamId::Standalone, 1);
        assert_eq!(sent(&mut session, get(13, Some(first))), [(second, true)]);
    }
}

#[test]
fn index_of_an_acknowledged_priming_event_is_not_used_again() {
    let mut inputs = live();
    inputs.extend([
        get(2, None),
        log_message(),
        closed(2, Some(1)),
        get(3, None),
        Input::Acknowledged { connection: ConnectionId(3), through: 2 },
    ]);
    let recorded = Recorded::new(&inputs, 3);
    let mut session = recorded.restore(&recorded.records, 0).unwrap();
    let mut out = Actions::<u64>::new();
    session.handle(at(6_000), log_message(), &mut out).unwrap();
    let logged = out.drain().find_map(record).unwrap();
    assert!(matches!(logged.change, Change::Logged { index: 3, .. }), "{logged:?}");
}

/// The first and the last index of each gap that an input sends.
fn gaps(session: &mut Session<u64>, input: Input<u64>) -> Vec<(u64, u64)> {
    let mut out = Actions::<u64>::new();
    session.handle(at(6_000), input, &mut out).unwrap();
    let gaps = out.drain().filter_map(|action| {
        let Action::Send { id, event: Event::Gap { first }, .. } = action else { return None };
        Some((first, id.index))
    });
    gaps.collect()
}

#[test]
fn gap_has_no_index_that_a_restore_has_left_out() {
    let config = limited(|config| config.stream_events_max = 1);
    let mut inputs = live();
    inputs.extend([log_message(), log_message()]);
    let mut recorded = Recorded::with(&config, &inputs, inputs.len());
    for nth in 1..=2 {
        let mut session = recorded.restore(&[], SKIP).unwrap();
        let mut out = Actions::<u64>::new();
        for message in [log_message(), log_message(), log_message()] {
            session.handle(at(6_000), message, &mut out).unwrap();
        }
        let through = out.drain().filter_map(record).last().unwrap().sequence;
        session.handle(at(6_000), Input::Committed { through }, &mut out).unwrap();
        // Through a serialized snapshot, which has the ranges.
        let json = serde_json::to_string(&session.snapshot()).unwrap();
        recorded.snapshot = serde_json::from_str(&json).unwrap();
        // Two messages were evicted before the first restore, and one of each three after it.
        let after = EventId::new(StreamId::Standalone, 0);
        assert_eq!(gaps(&mut session, get(10, Some(after))), [(1, 2)]);
        let mut acknowledged = 2;
        for restore in 1..=nth {
            let start = restore * SKIP + 3 * restore;
            let missed = if restore == nth { 2 } else { 3 };
            let connection = ConnectionId(10);
            let acknowledge = Input::Acknowledged { connection, through: acknowledged };
            acknowledged = start + missed - 1;
            assert_eq!(
                gaps(&mut session, acknowledge),
                [(start, acknowledged)],
                "{nth}, {restore}"
            );
        }
    }
}

#[test]
fn event_that_was_evicted_at_once_is_a_gap_after_a_restore() {
    let config = limited(|config| config.session_bytes_max = 300);
    let mut evicting = log_message();
    if let Input::BackendMessage { overflow, .. } = &mut evicting {
        *overflow = Overflow::Evict;
    }
    let mut inputs = live();
    inputs.extend([get(2, None), log_message(), evicting]);
    let recorded = Recorded::with(&config, &inputs, 3);
    let mut restored = recorded.restore(&recorded.records, SKIP).unwrap();
    let after = EventId::new(StreamId::Standalone, 1);
    assert_eq!(gaps(&mut restored, get(10, Some(after))), [(2, 2)]);
    assert_eq!(gaps(&mut restored, get(11, Some(EventId { index: 2, ..after }))), []);
}

#[test]
fn stream_that_was_cancelled_as_a_tombstone_is_cancelled() {
    let config = limited(|config| config.retention = Some(Duration::ZERO));
    let recorded = Recorded::with(&config, &live(), 3);
    let entry = Entry::Message { body: 1, bytes: 10, kind: MessageKind::Response(1.into()) };
    let stream = StreamId::Request(0);
    let records = numbered([
        Change::Opened { number: 0, requests: vec![(1.into(), None)] },
        Change::Logged { stream, index: 1, entry },
        Change::Completed { number: 0 },
        Change::Cancelled { number: 0 },
    ]);
    let mut restored = recorded.restore_by(records, SKIP, &mut Actions::new()).unwrap();
    let resumed =
        restored.handle(at(6_000), get(10, Some(EventId::new(stream, 0))), &mut Actions::new());
    let expected = Rejection::Client(ClientFault::CancelledStream(stream));
    assert_eq!(resumed.unwrap_err().reason, expected);
}

/// A complete stream with a server request that the client did not get.
fn undelivered(connection: u64, id: i64, request_id: &str) -> Vec<Input<u64>> {
    let mut asks = server_request(request_id);
    if let Input::BackendMessage { related, .. } = &mut asks {
        *related = Some(id.into());
    }
    vec![request(connection, id, None), closed(connection, None), asks, response(id)]
}

#[test]
fn what_the_other_process_has_done_is_not_done_again() {
    let config = limited(|config| {
        config.retained_unacknowledged_max = 1;
        config.activity_reports = true;
    });
    let mut inputs = live();
    inputs.extend(undelivered(2, 1, "a"));
    inputs.extend(undelivered(3, 2, "b"));
    for snapshot_after in [3, 7] {
        let recorded = Recorded::with(&config, &inputs, snapshot_after);
        let records = &recorded.records;
        assert_eq!(recorded.actions(records), []);
        // It may have ended before the record of the end.
        let end = records.iter().position(|record| {
            matches!(record.change, Change::ServerRequestEnded { is_retracted: false, .. })
        });
        let mut records = records.clone();
        records.remove(end.unwrap());
        let reason = UnansweredReason::Evicted;
        let failed = Action::FailServerRequest { id: "a".try_into().unwrap(), reason };
        assert_eq!(recorded.actions(&records), [failed]);
        records.truncate(end.unwrap());
        assert_eq!(recorded.actions(&records).len(), 1);
        // An id is not used again before that.
        let sequence = records.last().unwrap().sequence + 1;
        let kind = MessageKind::Request("a".try_into().unwrap());
        let entry = Entry::Message { body: 1, bytes: 10, kind };
        let change = Change::Logged { stream: StreamId::Standalone, index: 1, entry };
        records.push(Record { sequence, change });
        let error = recorded.restore(&records, SKIP).unwrap_err().to_string();
        assert!(error.ends_with("duplicate server request id"), "{error}");
    }
}

/// Returns the records of the first changes of a session.
pub(crate) fn numbered(
    changes: impl IntoIterator<Item = Change<u64>>,
) -> impl Iterator<Item = Record<u64>> {
    let mut sequence = 0;
    changes.into_iter().map(move |change| {
        sequence += u64::from(change.takes_number());
        Record { sequence, change }
    })
}

fn logged(index: u64, kind: MessageKind) -> Change<u64> {
    let entry = Entry::Message { body: 1, bytes: 1_000, kind };
    Change::Logged { stream: StreamId::Standalone, index, entry }
}

#[test]
fn memory_is_bounded_while_records_are_repeated() {
    let config = limited(|config| config.session_bytes_max = 100_000);
    let recorded = Recorded::with(&config, &live(), 3);
    let records = || numbered((1..50_000).map(|index| logged(index, MessageKind::Notification)));
    let memory = allocation_counter::measure(|| {
        let session = recorded.restore_by(records(), SKIP, &mut Actions::new()).unwrap();
        assert!(session.kept_bytes() <= 100_000 && session.kept_bytes() > 90_000);
    });
    assert!(memory.bytes_max < 100_000, "{memory:?}");
}

#[test]
fn numbers_of_requests_and_streams_are_bounded() {
    let recorded = Recorded::new(&live(), 3);
    let restore = |changes: Vec<Change<u64>>| {
        let restored = recorded.restore_by(numbered(changes), SKIP, &mut Actions::new());
        restored.err().map(|error| error.to_string())
    };
    let opened = |number: u64, ids: std::ops::Range<i64>| Change::Opened {
        number,
        requests: ids.map(|id| (id.into(), None)).collect(),
    };
    let error = |error| Some(format!("inconsistent snapshot: too many {error}"));
    assert_eq!(restore(vec![opened(0, 0..4_096)]), None);
    assert_eq!(restore(vec![opened(0, 0..4_097)]), error("requests in a stream"));
    assert_eq!(restore(vec![opened(0, 0..4_096), opened(1, 5_000..5_001)]), error("requests"));
    let answered = |(number, id): (u64, i64)| {
        let entry = Entry::Message { body: 1, bytes: 10, kind: MessageKind::Response(id.into()) };
        let logged = Change::Logged { stream: StreamId::Request(number), index: 1, entry };
        [opened(number, id..id + 1), logged]
    };
    let changes = (0..4_097).zip(0..).flat_map(answered);
    assert_eq!(restore(changes.collect()), error("streams"));
    let asks =
        |index: u64| logged(index, MessageKind::Request(i64::try_from(index).unwrap().into()));
    assert_eq!(restore((1..4_097).map(asks).collect()), None);
    assert_eq!(restore((1..4_098).map(asks).collect()), error("server requests"));
}

#[test]
fn first_reserved_ids_are_released() {
    let recorded = Recorded::new(&live(), 3);
    let mut records = Vec::new();
    for (number, id) in (0..4_100).zip(1..) {
        let opened = Change::Opened { number, requests: vec![(id.into(), None)] };
        records.extend([opened, Change::Cancelled { number }]);
    }
    let records = numbered(records);
    let session = recorded.restore_by(records, SKIP, &mut Actions::new()).unwrap();
    let is_reserved = |id: i64| session.is_reserved(&id.into());
    assert!((1..=4).all(|id| !is_reserved(id)) && (5..=4_100).all(is_reserved));
}

#[test]
fn streams_that_the_client_has_do_not_displace_others() {
    let config = limited(|config| config.retained_unacknowledged_max = 2);
    let mut inputs = live();
    inputs.extend([request(2, 1, None), response(1), closed(2, None)]);
    let snapshot_after = inputs.len();
    for (connection, id) in (3..6).zip(2..) {
        let end = closed(connection, Some(1));
        inputs.extend([request(connection, id, None), response(id), end]);
    }
    let recorded = Recorded::with(&config, &inputs, snapshot_after);
    let restored = recorded.restore(&recorded.records, SKIP).unwrap();
    for session in [&recorded.session, &restored] {
        assert!(session.log(StreamId::Request(0)).is_some());
    }
}

#[test]
fn retention_starts_at_the_restore() {
    let config = limited(|config| config.retention = Some(Duration::from_secs(60)));
    let mut inputs = live();
    inputs.extend([request(2, 1, None), response(1), closed(2, None)]);
    let mut recorded = Recorded::with(&config, &inputs, inputs.len());
    let mut out = Actions::<u64>::new();
    recorded.session.handle(at(59_000), Input::Tick, &mut out).unwrap();
    recorded.snapshot = recorded.session.snapshot();
    let mut restored = recorded.restore(&[], SKIP).unwrap();
    let is_retained = |session: &Session<u64>| session.log(StreamId::Request(0)).is_some();
    restored.handle(at(5_000 + 59_999), Input::Tick, &mut out).unwrap();
    assert!(is_retained(&restored));
    restored.handle(at(5_000 + 60_000), Input::Tick, &mut out).unwrap();
    assert!(!is_retained(&restored));
}

#[test]
fn session_that_is_not_initialized_has_no_records_and_commits() {
    let recorded = Recorded::new(&inputs(), inputs().len());
    let new = Session::<u64>::new(committing(), at(0)).snapshot();
    let records = [Record { sequence: 1, change: Change::Completed { number: 0 } }];
    let recorded = Recorded { snapshot: new, ..recorded };
    assert!(recorded.restore(&records, SKIP).is_err());
    let mut session = recorded.restore(&[], SKIP).unwrap();
    let mut out = Actions::<u64>::new();
    for input in live() {
        session.handle(at(6_000), input, &mut out).unwrap();
    }
    session.handle(at(6_000), log_message(), &mut out).unwrap();
    assert!(out.drain().find_map(record).is_some());
}

#[test]
fn client_of_a_restored_session_has_the_answer_to_initialize() {
    let recorded = Recorded::new(&live()[..2], 2);
    let session = recorded.restore(&[], SKIP).unwrap();
    assert_eq!(session.close_reason(), None);
    let recorded = Recorded::new(&live()[..1], 1);
    let session = recorded.restore(&[], SKIP).unwrap();
    assert_eq!(session.close_reason(), Some(SessionCloseReason::InitializeUnacknowledged));
}

#[test]
fn restored_session_neither_drains_nor_has_a_lower_limit() {
    let mut inputs = inputs();
    inputs.push(Input::Drain { retry: std::time::Duration::from_secs(1) });
    inputs.push(Input::LimitBytes { bytes_max: 0 });
    let recorded = Recorded::new(&inputs, inputs.len());
    let mut session = recorded.restore(&recorded.records, SKIP).unwrap();
    assert_eq!(session.handle(at(6_000), request(12, 3, None), &mut Actions::new()), Ok(()));
    assert!(session.kept_bytes() > 0);
}

#[test]
fn restored_server_request_fails_unless_it_is_delivered() {
    let mut inputs = live();
    inputs.push(server_request("a"));
    let recorded = Recorded::new(&inputs, 3);
    let mut session = recorded.restore(&recorded.records, SKIP).unwrap();
    let mut out = Actions::<u64>::new();
    session.handle(at(14_999), Input::Tick, &mut out).unwrap();
    assert!(out.is_empty(), "{out:?}");
    session.handle(at(15_000), Input::Tick, &mut out).unwrap();
    let reason = UnansweredReason::Undelivered;
    let failed = Action::FailServerRequest { id: "a".try_into().unwrap(), reason };
    assert_eq!(out.drain().last(), Some(failed));
}

#[test]
fn end_of_a_stream_without_a_record_is_made_up_for() {
    let recorded = Recorded::new(&inputs(), 3);
    let end = recorded
        .records
        .iter()
        .position(|record| matches!(record.change, Change::Completed { .. }))
        .unwrap();
    let session = recorded.restore(&recorded.records[..end], SKIP).unwrap();
    let stream = session.streams().find(|stream| stream.id == StreamId::Request(0)).unwrap();
    assert!(stream.is_complete);
}

#[test]
fn exhausted_counter_closes_the_restored_session() {
    let recorded = Recorded::new(&inputs(), 3);
    for skip in [u64::MAX - 10, u64::MAX] {
        let session = recorded.restore(&recorded.records, skip).unwrap();
        let expected = (skip == u64::MAX).then_some(SessionCloseReason::Exhausted);
        assert_eq!(session.close_reason(), expected);
    }
}
