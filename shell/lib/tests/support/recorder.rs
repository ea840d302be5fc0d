//! An observer that records its events as text.

use std::sync::{Arc, Mutex};

use rejoin::{Observer, RequestEnd, SessionEvent, SessionId};

#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the events since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn record(&self, event: String) {
        self.0.lock().unwrap().push(event);
    }
}

impl Observer for Recorder {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are recorded as they are")]
    fn on_session_event(&self, _: SessionId, event: &SessionEvent) {
        self.record(match event {
            SessionEvent::RequestBegan { request, stream, .. } => {
                let target = request.details.target.as_deref().unwrap_or_default();
                let stream = stream.map(|stream| format!(" on {stream}")).unwrap_or_default();
                format!("began {} {} {target}{stream}", request.id, request.details.method)
            }
            SessionEvent::RequestEnded { request, end: RequestEnd::Result, duration } => {
                format!("ended {} after {duration:?}", request.id)
            }
            SessionEvent::RequestEnded { request, end, duration } => {
                format!("ended {} after {duration:?}: {end}", request.id)
            }
            SessionEvent::Opened(opened) => format!("opened {:?}", opened.client),
            SessionEvent::Closed { reason, was_opened, age, .. } => {
                format!("closed {reason:?} {was_opened} after {age:?}")
            }
            other => format!("{other:?}"),
        });
    }
}
