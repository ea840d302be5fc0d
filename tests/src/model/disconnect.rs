//! Section "Disconnecting".

use std::time::Duration;

use rejoin_core::{CloseReason, Event, EventId, StreamId};

use super::Model;

impl Model {
    pub(super) fn disconnect(&mut self, stream: StreamId, retry: Option<Duration>) {
        let Some(connection) = self.attached(stream).map(|attached| attached.id) else {
            return;
        };
        if retry.is_some() && self.may_send_retry(stream) {
            let index = self.streams[stream].last + 1;
            self.streams[stream].last = index;
            let id = EventId::new(stream, index);
            self.send(connection, 0, id, Event::Priming { retry });
            let retry_at = self.now.saturating_add(retry.unwrap_or_default());
            self.streams[stream].retry_at = retry_at;
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
}
