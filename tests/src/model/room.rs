//! Kept events, and the room for another one: sections "Terms" and "Recording".

use std::collections::BTreeMap;

use rejoin_core::StreamId;

use super::{
    Model,
    stream::{RecordedEvent, Stream},
};

/// The cost of events by their stream and index; only the response to `initialize` has no stream.
type Costs = BTreeMap<(Option<StreamId>, u64), usize>;

impl Model {
    /// Returns the cost of all kept events in bytes, while the session is open.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        total(&self.kept())
    }

    /// Returns whether there is room for an event with this cost.
    pub(super) fn has_room(&self, cost: usize) -> bool {
        let mut kept = self.kept();
        for stream in self.streams.iter() {
            for event in stream.logged_messages().filter(|it| self.is_evictable(stream, it)) {
                kept.remove(&(Some(stream.id), event.index));
            }
        }
        kept.is_empty() || total(&kept).saturating_add(cost) <= self.limit
    }

    /// Returns whether events are kept that together with a new one of this cost exceed `max`.
    pub(super) fn exceeds(&self, cost: usize, max: usize) -> bool {
        let kept = self.kept();
        !kept.is_empty() && total(&kept).saturating_add(cost) > max
    }

    /// Returns whether the event of a stream at `index` is in flight.
    pub(super) fn is_in_flight(&self, stream: StreamId, index: u64) -> bool {
        let mut connections = self.connections.iter().filter(|it| it.stream == Some(stream));
        connections.any(|it| it.in_flight.iter().any(|(sent, _)| *sent == index))
    }

    /// Returns the events that are logged or in flight, each once.
    fn kept(&self) -> Costs {
        let in_flight = self.connections.iter().flat_map(|connection| {
            let in_flight = connection.in_flight.iter().filter(|(_, cost)| *cost > 0);
            in_flight.map(|(index, cost)| ((connection.stream, *index), *cost))
        });
        let logged = self.streams.iter().flat_map(|stream| {
            stream.logged_messages().map(|event| ((Some(stream.id), event.index), event.cost))
        });
        in_flight.chain(logged).collect()
    }

    fn is_evictable(&self, stream: &Stream, event: &RecordedEvent) -> bool {
        let is_acknowledged = |first_unacknowledged| event.index < first_unacknowledged;
        !self.is_in_flight(stream.id, event.index)
            && self
                .active_reader(stream.id)
                .is_none_or(|reader| is_acknowledged(reader.first_unacknowledged))
    }
}

fn total(costs: &Costs) -> usize {
    costs.values().fold(0, |bytes, cost| bytes.saturating_add(*cost))
}
