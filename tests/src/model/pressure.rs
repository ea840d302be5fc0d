//! Section "Pressure".

use rejoin_core::{Action, Pressure, StreamId};

use super::{Model, stream::Phase};

impl Model {
    /// The answer to a message of the backend that was recorded on `stream`.
    pub(super) fn pressure(&mut self, stream: Option<StreamId>) -> Pressure {
        match stream {
            Some(stream) if self.is_held_up(stream) => {
                if !self.held.contains(&stream) {
                    self.held.push(stream);
                }
                Pressure::Hold(stream)
            }
            Some(_) | None => Pressure::None,
        }
    }

    /// Lets those go on whose stream is not held up any more.
    pub(super) fn release(&mut self) {
        if self.closed.is_some() {
            return;
        }
        self.held.sort();
        for stream in self.held.clone() {
            if !self.is_held_up(stream) {
                self.held.retain(|held| *held != stream);
                self.act(Action::Release { stream });
            }
        }
    }

    /// Whether a reader that is not stalled trails by half.
    fn is_held_up(&self, stream: StreamId) -> bool {
        let Some(it) = self.streams.get(stream) else {
            return false;
        };
        let Some(carrier) = self.carrier(stream) else {
            return false;
        };
        if !matches!(it.phase, Phase::Standing | Phase::Open) || carrier.is_stalled {
            return false;
        }
        let Some(first) = it.logged_from(carrier.untaken).next() else {
            return false;
        };
        let trailing = it.logged_from(first.index).count();
        let recorded = it.events.iter().filter(|event| event.index >= first.index);
        let cost = recorded.fold(0usize, |cost, event| cost.saturating_add(event.cost));
        trailing.saturating_mul(2) >= self.config.stream_events_max
            || cost.saturating_mul(2) >= self.config.stream_bytes_max
    }
}
