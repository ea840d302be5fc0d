//! Inputs of the driver: connections, the limit of the kept bytes, and the end of the session.

use std::time::Duration;

use rejoin_core::{ConnectionId, Input, SessionCloseReason, StreamId};

use super::environment::{Connection, Origin};
use super::{Environment, ids};

impl Environment {
    /// Acknowledges events in the buffer of a connection.
    pub(super) fn acknowledge(&mut self, which: u8, through_selector: u8) -> Input<u64> {
        // Some readers are slow: they rarely pull.
        let is_slow =
            |connection: ConnectionId| connection.0 % 5 == 3 && through_selector % 16 != 1;
        let unread = self.connections.iter().filter(|(_, it)| !it.buffer.is_empty());
        let unread: Vec<ConnectionId> =
            unread.map(|(id, _)| *id).filter(|connection| !is_slow(*connection)).collect();
        let Some(connection) = ids::pick(&unread, which).copied() else {
            return self.acknowledge_nothing(which, through_selector);
        };
        let Some(it) = self.connections.get(&connection) else {
            return Input::Tick;
        };
        let indexes: Vec<u64> = it.buffer.iter().map(|(index, _)| *index).collect();
        let first = indexes.first().copied().unwrap_or_default();
        let last = indexes.last().copied().unwrap_or_default();
        let through = match through_selector {
            0..=119 => last,
            120..=169 => indexes.get(indexes.len() / 2).copied().unwrap_or(last),
            170..=219 => first,
            220..=227 => first.saturating_add(1),
            228..=233 => last.saturating_sub(1),
            234..=239 => last.saturating_add(u64::from(through_selector)),
            240..=243 => u64::MAX,
            244..=255 => first.saturating_sub(1),
        };
        Input::Acknowledged { connection, through }
    }

    /// Makes an acknowledgement without a new event.
    fn acknowledge_nothing(&mut self, which: u8, through_selector: u8) -> Input<u64> {
        let connection = match self.pick_connection(which, |_| true) {
            Some(connection) if through_selector < 200 => connection,
            Some(_) | None => ConnectionId(1_000_000 + u64::from(which)),
        };
        Input::Acknowledged { connection, through: u64::from(through_selector % 8) }
    }

    /// Reports a connection that the session closed, or else acknowledges events.
    pub(super) fn report_closed(&mut self, which: u8, through_selector: u8) -> Input<u64> {
        match self.pick_connection(which, |it| !it.is_open() || is_done(it)) {
            Some(connection) => self.closed(connection, through_selector),
            None => self.acknowledge(which, through_selector),
        }
    }

    /// Drops a connection, whatever it is attached to.
    pub(super) fn drop_connection(&mut self, which: u8, through_selector: u8) -> Input<u64> {
        let spares_initialize = self.chance > 19;
        let matches = |it: &Connection| {
            !(spares_initialize && it.origin == Origin::Initialize && it.acknowledged.is_none())
        };
        match self.pick_connection(which, matches) {
            Some(connection) => self.closed(connection, through_selector),
            None => self.acknowledge(which, through_selector),
        }
    }

    /// Closes a connection, of those that are done if possible, to free its slot.
    pub(super) fn free_connection(&mut self, which: u8) -> Input<u64> {
        match self.pick_connection(which, |it| !it.is_open() || is_done(it)) {
            Some(connection) => self.closed(connection, 0),
            None => self.drop_connection(which, 0),
        }
    }

    /// Completes a stream, to free its slot.
    pub(super) fn free_stream(&mut self, which: u8, size: u8) -> Input<u64> {
        if self.pending.is_empty() {
            self.free_connection(which)
        } else {
            self.response(which, 1, size, 255)
        }
    }

    fn closed(&self, connection: ConnectionId, through_selector: u8) -> Input<u64> {
        let Some(it) = self.connections.get(&connection) else {
            return Input::ConnectionClosed { connection, through: None };
        };
        let pulled = match through_selector {
            0..=159 => it.buffer.back(),
            160..=199 => it.buffer.get(it.buffer.len() / 2),
            200..=255 => None,
        };
        let through = match pulled {
            Some((index, _)) => Some(*index),
            None if through_selector < 250 => it.acknowledged,
            None => None,
        };
        Input::ConnectionClosed { connection, through }
    }

    /// Abandons a stream.
    pub(super) fn abandon(&mut self, which: u8, fault: u8) -> Input<u64> {
        let used: Vec<StreamId> = self.in_use.iter().copied().collect();
        let recent: Vec<StreamId> = self.recent.iter().copied().collect();
        let stream = match fault {
            0..=4 => Some(StreamId::Standalone),
            5..=14 => Some(StreamId::Request(self.streams_seen + u64::from(which))),
            15..=79 => ids::pick(&recent, which).copied(),
            80..=255 => ids::pick(&used, which).copied(),
        };
        match stream {
            Some(stream) => Input::Abandon { stream },
            None => self.acknowledge(which, fault),
        }
    }

    /// Limits the kept bytes: mostly not at all, or to less than what is kept.
    pub(super) fn limit_bytes(&self, how: u8, size: u8) -> Input<u64> {
        let bytes_max = match how {
            0..=79 => usize::MAX,
            80..=111 => self.config.session_bytes_max,
            112..=135 => self.config.session_bytes_max / 2,
            136..=159 => self.kept_bytes / 2,
            160..=191 => self.kept_bytes.saturating_sub(1),
            192..=207 => self.kept_bytes,
            208..=247 => self.size(size),
            248..=255 => 0,
        };
        Input::LimitBytes { bytes_max }
    }

    /// Drains the session, if `confirm` is low: more often if it drains already.
    pub(super) fn drain(&mut self, retry: u8, confirm: u8) -> Input<u64> {
        let limit = if self.is_draining { 150 } else { 80 };
        if confirm > limit {
            return self.acknowledge(retry, confirm);
        }
        let retry = match retry {
            0..=9 => Duration::MAX,
            10..=79 => Duration::ZERO,
            80..=255 => Duration::from_millis(100 * u64::from(retry)),
        };
        Input::Drain { retry }
    }

    /// Commits some of what is recorded: mostly all of it, or nothing for a while.
    pub(super) fn commit(&self, selector: u8) -> Option<Input<u64>> {
        // A slow store takes longer than a fast one.
        let patience = if self.recorded % 7 < 2 { 12 } else { 120 };
        if !self.config.commits || self.chance % 128 >= patience || self.chance < 16 {
            return None;
        }
        let lag = self.recorded.saturating_sub(self.committed);
        if lag == 0 && selector < 250 {
            return None;
        }
        let through = match selector {
            0..=149 => self.recorded,
            150..=239 => self.recorded.saturating_sub(u64::from(selector) % (lag + 1)),
            240..=249 => self.committed.saturating_sub(u64::from(selector % 3)),
            250..=251 => self.committed,
            252..=255 => self.recorded.saturating_add(u64::from(selector - 251)),
        };
        Some(Input::Committed { through })
    }

    /// Loses the backend, if `confirm` is low.
    pub(super) fn lose_backend(&mut self, confirm: u8) -> Input<u64> {
        if confirm > 120 { self.acknowledge(confirm, confirm) } else { Input::BackendLost }
    }

    /// Closes the session, if `confirm` is low.
    pub(super) fn close_session(&mut self, how: u8, confirm: u8) -> Input<u64> {
        if confirm > 40 {
            return self.acknowledge(how, confirm);
        }
        match how {
            0..=59 => Input::Delete,
            60..=119 => Input::BackendGone,
            120..=169 => Input::CloseSession { reason: SessionCloseReason::ServerShutdown },
            170..=209 => Input::CloseSession { reason: SessionCloseReason::Cancelled },
            210..=229 => Input::CloseSession { reason: SessionCloseReason::InternalError },
            230..=242 => Input::CloseSession { reason: SessionCloseReason::Idle },
            243..=255 => Input::CloseSession { reason: SessionCloseReason::Deleted },
        }
    }
}

/// Returns whether a connection is done: that of `initialize`, once the response is
/// acknowledged.
fn is_done(it: &Connection) -> bool {
    it.origin == Origin::Initialize && it.acknowledged.is_some()
}
