//! Section "Disconnecting".

use std::time::Duration;

use rejoin_core::{CloseReason, Event, EventId, StreamId};

use super::Model;

impl Model {
    /// Closes the connection of a stream, with a retry at the index that is kept for it, or the next.
    pub(super) fn disconnect(
        &mut self,
        stream: StreamId,
        retry: Option<Duration>,
        kept: Option<u64>,
    ) {
        let Some(connection) = self.attached(stream).map(|attached| attached.id) else {
            return;
        };
        let may_send_retry = match kept {
            Some(kept) => self.may_send_at(stream, kept),
            None => self.may_send_retry(stream),
        };
        if retry.is_some() && may_send_retry {
            let it = &mut self.streams[stream];
            let index = kept.unwrap_or(it.last + 1);
            it.last = it.last.max(index);
            let id = EventId::new(stream, index);
            self.send(connection, 0, id, Event::Priming { retry });
            let retry_at = self.now.saturating_add(retry.unwrap_or_default());
            self.streams[stream].retry_at = retry_at;
        }
        if stream != StreamId::Standalone && !self.connections[connection].has_event_id() {
            return;
        }
        self.close_connection(connection, CloseReason::Requested);
        if stream == StreamId::Standalone {
            for shadow in self.shadows() {
                self.close_connection(shadow, CloseReason::Requested);
            }
        } else {
            self.streams[stream].orphaned = Some(self.stamp_when_expected(stream));
        }
        self.start_delivery_timers(stream);
    }

    /// Returns whether a priming event with a retry could be sent now.
    pub(super) fn may_send_retry(&self, stream: StreamId) -> bool {
        self.is_priming_on() && self.live(stream, self.streams[stream].last + 1).is_some()
    }

    /// Returns whether everything before a kept index was sent, and the window admits the next event.
    fn may_send_at(&self, stream: StreamId, kept: u64) -> bool {
        let it = &self.streams[stream];
        self.attached(stream).is_some_and(|attached| {
            let unsent = it.logged_from(attached.next).next();
            let is_sent = unsent.is_none_or(|unsent| unsent.index > kept)
                && (attached.next == kept || it.missed < attached.next);
            is_sent && attached.admits(kept, &self.config)
        })
    }
}
