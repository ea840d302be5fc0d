//! Restores from an earlier snapshot and the records since: they must have what the session has.

use rejoin_core::{
    Action, Actions, Change, Config, ConnectionId, Entry, Failure, FailureReason, Head, Input,
    Instant, Log, Message, Method, Notification, Post, Record, RequestId, Session,
    SessionCloseReason, Snapshot, StreamId,
};

use super::ended::Ended;
use crate::laws::Step;

/// How many steps there are between snapshots, and between restores. They have no common divisor.
const SNAPSHOT_EVERY: u64 = 97;
const RESTORE_EVERY: u64 = 31;

/// How many indexes and numbers a restore leaves out.
const SKIP: u64 = 1 << 32;

/// A snapshot, and what was recorded since.
#[derive(Debug, Default)]
pub(super) struct Recording {
    snapshot: Option<Snapshot<u64>>,
    records: Vec<Record<u64>>,
    /// The highest number that was committed.
    committed: u64,
    /// The highest number of a stream that was ever opened.
    highest: u64,
    steps: u64,
}

impl Recording {
    /// Notes what a step has recorded, and restores a session now and then.
    ///
    /// # Errors
    ///
    /// The restored session lacks something.
    pub(super) fn follow(&mut self, step: &Step, session: &Session<u64>) -> Result<(), String> {
        let config = session.config();
        if !config.commits || session.initialized().is_none() || session.close_reason().is_some() {
            return Ok(());
        }
        for action in &step.actions {
            if let Action::Commit(record) = action {
                if let Change::Opened { number, .. } = record.change {
                    self.highest = self.highest.max(number);
                }
                self.records.push((**record).clone());
            }
        }
        if let (Input::Committed { through }, Ok(())) = (&step.input, &step.result) {
            self.committed = self.committed.max(*through);
        }
        self.steps += 1;
        if self.steps.is_multiple_of(RESTORE_EVERY)
            && let Some(snapshot) = &self.snapshot
        {
            self.check(snapshot, session, step.now)
                .map_err(|error| format!("{error}\nafter the records {:?}", self.records))?;
        }
        if self.snapshot.is_none() || self.steps.is_multiple_of(SNAPSHOT_EVERY) {
            self.snapshot = Some(session.snapshot());
            self.records.clear();
        }
        Ok(())
    }
}

impl Recording {
    /// Compares a session with what is restored from the snapshot and all records, and checks what is
    /// restored from those that are committed.
    fn check(
        &self,
        snapshot: &Snapshot<u64>,
        live: &Session<u64>,
        now: Instant,
    ) -> Result<(), String> {
        let restore = |config: Config, records: &[Record<u64>], skip| {
            let config = config.validate().map_err(|error| error.to_string())?;
            let (snapshot, records) = (snapshot.clone(), records.iter().cloned());
            let mut out = Actions::new();
            Session::restore_with(snapshot, records, skip, config, now, &mut out)
                .map_err(|error| error.to_string())
        };
        let records = self.records.as_slice();
        let config = (**live.config()).clone();
        let mut detached = detached(live, now)?;
        let mut restored = restore(unlimited(config.clone()), records, 0)?;
        compare(&detached, &restored)?;
        Ended::of(&detached)?.compare(&detached, &restored)?;
        compare_ids(records, &detached, &restored)?;
        compare_requests(&mut detached, &mut restored, now)?;
        let limited = restore(config.clone(), records, SKIP)?;
        if limited.kept_bytes() > config.session_bytes_max {
            return Err(format!("a restored session keeps {} bytes", limited.kept_bytes()));
        }
        let committed = records.iter().take_while(|record| record.sequence <= self.committed);
        let committed = records.get(..committed.count()).unwrap_or_default();
        let restored = restore(unlimited(config), committed, SKIP)?;
        check_committed(live, &restored, self.committed)?;
        check_skip(self.highest, live, restored, now)
    }
}

/// Checks that a session has all that is committed, if the records of the rest are lost.
fn check_committed(
    live: &Session<u64>,
    restored: &Session<u64>,
    committed: u64,
) -> Result<(), String> {
    for stream in live.streams() {
        let events = live.log(stream.id).into_iter().flat_map(|log| log.range(0..u64::MAX));
        let mut events = events.filter(|it| it.sequence <= committed && it.sequence > 0);
        let lost = events.find(|event| {
            let log = restored.log(stream.id);
            let range = event.index..event.index.saturating_add(1);
            let found = log.and_then(|log| log.range(range).next());
            found.is_none_or(|found| found.entry != event.entry && !is_evicted(&event.entry))
        });
        if let Some(lost) = lost {
            return Err(format!("{lost:?} of {} is committed, and lost", stream.id));
        }
    }
    Ok(())
}

/// Returns the session without its connections.
fn detached(live: &Session<u64>, now: Instant) -> Result<Session<u64>, String> {
    let config = unlimited((**live.config()).clone());
    let config = config.validate().map_err(|error| error.to_string())?;
    let session = Session::restore(live.snapshot(), config, now, &mut Actions::<u64>::new());
    session.map_err(|error| error.to_string())
}

/// Returns a config with which nothing is evicted.
fn unlimited(config: Config) -> Config {
    // Which server requests the client has on a stream that is replaced at once has no record.
    let retention = config.retention.filter(|retention| !retention.is_zero());
    config! {
        session_bytes_max: usize::MAX / 8,
        stream_bytes_max: usize::MAX / 8,
        stream_events_max: usize::MAX,
        retained_acknowledged_max: usize::MAX,
        retained_unacknowledged_max: usize::MAX,
        tombstones_max: usize::MAX,
        retention,
        ..config
    }
}

/// Checks that the restored session has every stream of the live one, with its events.
fn compare(live: &Session<u64>, restored: &Session<u64>) -> Result<(), String> {
    for stream in live.streams() {
        let id = stream.id;
        let (Some(log), Some(restored_log)) = (live.log(id), restored.log(id)) else {
            let is_revived = live.log(id).is_some_and(|log| {
                log.range(0..u64::MAX).all(|logged| {
                matches!(&logged.entry, Entry::Failure(it) if it.reason == FailureReason::Expired)
            })
            });
            if stream.is_complete && is_revived {
                continue;
            }
            return Err(format!("{stream:?} is missing"));
        };
        let found = restored.streams().find(|found| found.id == id);
        let fits = found.is_some_and(|found| {
            found.is_complete == stream.is_complete
                && found.pending_requests == stream.pending_requests
                && found.last <= stream.last
                && found.acknowledged <= found.last
                && found.acknowledged <= stream.acknowledged
                && (id != StreamId::Standalone || found.acknowledged == stream.acknowledged)
        });
        if !fits {
            return Err(format!("{stream:?} is restored as {found:?}"));
        }
        compare_logs(log, restored_log).map_err(|error| format!("{error} of {id}"))?;
    }
    Ok(())
}

fn compare_logs(live: &Log<u64>, restored: &Log<u64>) -> Result<(), String> {
    for logged in live.range(0..u64::MAX) {
        let found = restored.range(logged.index..logged.index.saturating_add(1)).next();
        // What was evicted may be there still.
        let fits = found.is_some_and(|found| {
            found.entry == logged.entry
                || found.sequence == logged.sequence && is_evicted(&logged.entry)
        });
        if !fits {
            return Err(format!("{logged:?} is restored as {found:?}"));
        }
    }
    for found in restored.range(0..u64::MAX) {
        let is_logged = live.range(found.index..found.index.saturating_add(1)).len() == 1;
        if !is_logged && found.index > live.missed_through() {
            return Err(format!("{found:?} is restored, but left the log"));
        }
    }
    let missed = live.missed_through();
    let is_logged = || restored.range(missed..missed.saturating_add(1)).len() == 1;
    let is_missed = restored.missed_through() == missed;
    if restored.missed_through() > missed || !is_missed && !is_logged() {
        let missed = restored.missed_through();
        return Err(format!("{live:?} is restored with the missed index {missed}"));
    }
    Ok(())
}

fn is_evicted(entry: &Entry<u64>) -> bool {
    matches!(entry, Entry::Failure(Failure { reason: FailureReason::Evicted, .. }))
}

/// Checks that the restored session reserves the ids, and knows the progress tokens, that the live
/// one does.
fn compare_ids(
    records: &[Record<u64>],
    live: &Session<u64>,
    restored: &Session<u64>,
) -> Result<(), String> {
    let opened = records.iter().flat_map(|record| {
        if let Change::Opened { requests, .. } = &record.change { requests.as_slice() } else { &[] }
    });
    for (id, token) in opened {
        let progress = token.clone().map(|token| Message {
            head: Head::Notification(Notification::Progress { token }),
            body: 0,
            bytes: 0,
        });
        let lacks_token = progress.is_some_and(|progress| {
            live.would_record(&progress, None) && !restored.would_record(&progress, None)
        });
        if lacks_token || live.is_reserved(id) && !restored.is_reserved(id) {
            return Err(format!("{id}, or its token {token:?}, is free in the restored session"));
        }
    }
    Ok(())
}

/// Compares the requests that both sessions list when they are closed.
fn compare_requests(
    live: &mut Session<u64>,
    restored: &mut Session<u64>,
    now: Instant,
) -> Result<(), String> {
    let (pending, server) = close(live, now);
    let (restored_pending, restored_server) = close(restored, now);
    // Without its connections, the live one has ended those whose event was evicted.
    if pending == restored_pending && server.iter().all(|id| restored_server.contains(id)) {
        return Ok(());
    }
    Err(format!(
        "{pending:?} are pending and {server:?} wait, but {restored_pending:?} and \
         {restored_server:?} in the restored session"
    ))
}

fn close(session: &mut Session<u64>, now: Instant) -> (Vec<RequestId>, Vec<RequestId>) {
    let mut out = Actions::new();
    let reason = SessionCloseReason::Cancelled;
    // A closed session rejects it.
    let _ = session.handle(now, Input::CloseSession { reason }, &mut out);
    let lists = out.drain().find_map(|action| {
        let Action::SessionClosed { pending_requests, server_requests, .. } = action else {
            return None;
        };
        Some((pending_requests, server_requests))
    });
    lists.unwrap_or_default()
}

/// Checks that no index or stream number is used again.
fn check_skip(
    highest: u64,
    live: &Session<u64>,
    mut restored: Session<u64>,
    now: Instant,
) -> Result<(), String> {
    for stream in live.streams().filter(|stream| !stream.is_complete) {
        // A stream whose opening is lost has no event that was sent.
        let last = restored.log(stream.id).map_or(u64::MAX, Log::last);
        if last <= stream.last {
            return Err(format!("{stream:?} goes on after {last}"));
        }
    }
    let mut out = Actions::new();
    let head = Head::Request {
        id: "of a restored session".try_into().map_err(|error| format!("{error:?}"))?,
        method: Method::Other,
        progress_token: None,
    };
    let post = Post::Single(Message { head, body: 0, bytes: 0 });
    let format = rejoin_core::AnswerFormat::Sse;
    let connection = ConnectionId(u64::MAX - 1);

    if restored.handle(now, Input::Post { connection, format, post }, &mut out).is_err() {
        return Ok(());
    }
    match restored.stream_on(connection) {
        Some(StreamId::Request(number)) if number <= highest => {
            Err(format!("stream {number} opens again: the highest one was {highest}"))
        }
        _ => Ok(()),
    }
}
