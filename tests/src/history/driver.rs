//! What the driver tells: connections, reservations, the end.

use rejoin_core::{CloseReason, ConnectionId, Input, StreamId};

use super::client::{INVALID_BELOW, OVER_LIMIT_BELOW};
use super::environment::{Connection, Origin};
use super::{Environment, ids};

impl Environment {
    /// A body pulls events out of its channel.
    pub(super) fn acknowledge(&mut self, which: u8, far: u8) -> Input<u64> {
        // Some readers are slow: they pull now and then only.
        let is_slow = |connection: ConnectionId| connection.0 % 5 == 3 && far % 16 != 1;
        let full = self.connections.iter().filter(|(_, line)| !line.buffer.is_empty());
        let full: Vec<ConnectionId> =
            full.map(|(id, _)| *id).filter(|connection| !is_slow(*connection)).collect();
        let Some(connection) = ids::pick(&full, which).copied() else {
            return self.acknowledge_nothing(which, far);
        };
        let Some(line) = self.connections.get(&connection) else {
            return Input::Tick;
        };
        let indexes: Vec<u64> = line.buffer.iter().map(|(index, _)| *index).collect();
        let first = indexes.first().copied().unwrap_or_default();
        let last = indexes.last().copied().unwrap_or_default();
        let through = match far {
            0..=119 => last,
            120..=169 => indexes.get(indexes.len() / 2).copied().unwrap_or(last),
            170..=219 => first,
            220..=227 => first.saturating_add(1),
            228..=233 => last.saturating_sub(1),
            234..=239 => last.saturating_add(u64::from(far)),
            240..=243 => u64::MAX,
            244..=255 => first.saturating_sub(1),
        };
        Input::Acknowledged { connection, through }
    }

    /// A notice of what was taken that says nothing new.
    fn acknowledge_nothing(&mut self, which: u8, far: u8) -> Input<u64> {
        let connection = match self.pick_connection(which, |_| true) {
            Some(connection) if far < 200 => connection,
            Some(_) | None => ConnectionId(1_000_000 + u64::from(which)),
        };
        Input::Acknowledged { connection, through: u64::from(far % 8) }
    }

    /// A connection that was ended is gone, or another one takes what it has.
    pub(super) fn report_closed(&mut self, which: u8, far: u8) -> Input<u64> {
        match self.pick_connection(which, |line| line.close_reason.is_some() || is_done(line)) {
            Some(connection) => self.closed(connection, far),
            None => self.acknowledge(which, far),
        }
    }

    /// A connection breaks, whatever it carries.
    pub(super) fn drop_connection(&mut self, which: u8, far: u8) -> Input<u64> {
        let is_spared = self.chance > 19;
        let is_meant = |line: &Connection| {
            !(is_spared && line.origin == Origin::Initialize && line.acknowledged.is_none())
        };
        match self.pick_connection(which, is_meant) {
            Some(connection) => self.closed(connection, far),
            None => self.acknowledge(which, far),
        }
    }

    /// Any connection that can be missed goes, to make room for another one.
    pub(super) fn free_connection(&mut self, which: u8) -> Input<u64> {
        match self.pick_connection(which, |line| line.close_reason.is_some() || is_done(line)) {
            Some(connection) => self.closed(connection, 0),
            None => self.drop_connection(which, 0),
        }
    }

    /// Any stream in use ends, to make room for another one.
    pub(super) fn free_stream(&mut self, which: u8, size: u8) -> Input<u64> {
        if self.pending.is_empty() {
            self.free_connection(which)
        } else {
            self.answer(which, 1, size, 255)
        }
    }

    fn closed(&self, connection: ConnectionId, far: u8) -> Input<u64> {
        let Some(line) = self.connections.get(&connection) else {
            return Input::ConnectionClosed { connection, through: None };
        };
        let pulled = match far {
            0..=159 => line.buffer.back(),
            160..=199 => line.buffer.get(line.buffer.len() / 2),
            200..=255 => None,
        };
        let through = match pulled {
            Some((index, _)) => Some(*index),
            None if far < 250 => line.acknowledged,
            None => None,
        };
        Input::ConnectionClosed { connection, through }
    }

    /// A stream is reserved.
    pub(super) fn reserve(&mut self, which: u8, fault: u8) -> Input<u64> {
        if fault >= OVER_LIMIT_BELOW {
            if self.in_use.len() >= self.config.streams_max {
                return self.free_stream(which, fault);
            }
            if self.known_connections >= self.config.connections_max {
                return self.free_connection(which);
            }
        }
        let connection = self.new_connection();
        let used = self.pick_known_connection(which).filter(|_| fault < INVALID_BELOW);
        Input::Reserve { connection: used.unwrap_or(connection) }
    }

    /// A stream is given up.
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

    /// The session ends, if it is meant.
    pub(super) fn close_session(&mut self, how: u8, sure: u8) -> Input<u64> {
        if sure > 40 {
            return self.acknowledge(how, sure);
        }
        match how {
            0..=59 => Input::Delete,
            60..=119 => Input::BackendGone,
            120..=169 => Input::CloseSession { reason: CloseReason::ServerShutdown },
            170..=229 => Input::CloseSession { reason: CloseReason::Cancelled },
            230..=242 => Input::CloseSession { reason: CloseReason::Idle },
            243..=255 => Input::CloseSession { reason: CloseReason::Deleted },
        }
    }
}

/// Whether a connection has nothing left to do: that of `initialize`, once its
/// answer was taken.
fn is_done(line: &Connection) -> bool {
    line.origin == Origin::Initialize && line.acknowledged.is_some()
}
