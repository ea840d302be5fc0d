//! Pressure: holding a sender up for a reader that makes progress.

use super::{Pressure, Session, stream::StreamKey};
use crate::{Action, Actions, StreamId};

impl<M> Session<M> {
    /// Returns whether the sender of what was recorded last should wait.
    pub(super) fn pressure(&mut self, stream: StreamKey) -> Pressure {
        if self.trails_by_half(stream) {
            self.streams[stream].holds = true;
            Pressure::Hold(self.streams[stream].id)
        } else {
            Pressure::None
        }
    }

    /// Lets go of senders that do not need to wait any more.
    #[cold]
    pub(super) fn release(&mut self, out: &mut Actions<M>) {
        let mut reviews = core::mem::take(&mut self.reviews);
        reviews.sort_unstable();
        reviews.dedup();
        for stream in reviews {
            let is_settled = match self.streams.find(stream) {
                Some(key) if self.trails_by_half(key) => true,
                Some(key) => !core::mem::take(&mut self.streams[key].holds),
                None => false,
            };
            if !is_settled {
                out.push(Action::Release { stream });
            }
        }
    }

    /// Notes that a stream may not need to hold a sender up any more.
    #[inline]
    pub(super) fn review(&mut self, stream: StreamKey) {
        let stream = &self.streams[stream];
        if stream.holds {
            let id = stream.id;
            self.add_review(id);
        }
    }

    #[cold]
    fn add_review(&mut self, stream: StreamId) {
        self.reviews.push(stream);
    }

    /// Returns whether more may come on a stream whose reader makes progress and
    /// trails by half of its log.
    fn trails_by_half(&self, key: StreamKey) -> bool {
        let stream = &self.streams[key];
        let Some(carrier) = stream.carrier.filter(|_| stream.is_open()) else {
            return false;
        };
        let carrier = &self.connections[carrier];
        if carrier.is_stalled {
            return false;
        }
        let (events, bytes) = stream.log.trailing(carrier.cursor.untaken());
        events > 0
            && (events.saturating_mul(2) >= self.config.stream_events_max
                || bytes.saturating_mul(2) >= self.config.stream_bytes_max as u64)
    }
}
