//! Several observers of the same sessions.

use std::sync::Arc;

use rejoin::{Observer, Refused, SessionEvent, SessionId, SpanIds};

/// Combines observers, in this order. Returns `None` without any.
pub(crate) fn combine(observers: Vec<Arc<dyn Observer>>) -> Option<Arc<dyn Observer>> {
    match <[_; 1]>::try_from(observers) {
        Ok([only]) => Some(only),
        Err(observers) if observers.is_empty() => None,
        Err(observers) => Some(Arc::new(FanOut(observers))),
    }
}

struct FanOut(Vec<Arc<dyn Observer>>);

impl Observer for FanOut {
    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        for observer in &self.0 {
            observer.on_session_event(session, event);
        }
    }

    fn span_ids(&self, session: SessionId, event: &SessionEvent) -> Option<SpanIds> {
        self.0.iter().find_map(|observer| observer.span_ids(session, event))
    }

    fn traces_requests(&self) -> bool {
        self.0.iter().any(|observer| observer.traces_requests())
    }

    fn on_refused(&self, refused: &Refused) {
        for observer in &self.0 {
            observer.on_refused(refused);
        }
    }
}
