//! Observers: what happens in sessions, for metrics, traces and audit logs.

mod event;
#[cfg(feature = "http")]
mod refused;
mod request;
mod response;
mod span_ids;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

#[cfg(feature = "http")]
pub use self::refused::Refused;
pub(crate) use self::response::{ResponseFault, fault};
pub use self::{
    event::{SessionEvent, SessionOpened},
    request::{ObservedRequest, RequestEnd},
    span_ids::SpanIds,
};
use crate::{SessionId, log};

/// Something that is told what happens in the sessions of a manager:
/// [`SessionManagerBuilder::observer`](crate::SessionManagerBuilder::observer).
///
/// It is called without a lock of a session, in the task that has caused the event, so it must not
/// block. Events of one session that several tasks cause at the same time may come in another
/// order: the end of a request before its beginning, for example. Its panics are logged.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use rejoin::{Observer, SessionEvent, SessionId};
///
/// #[derive(Default)]
/// struct Calls(AtomicU64);
///
/// impl Observer for Calls {
///     fn on_session_event(&self, _: SessionId, event: &SessionEvent) {
///         if let SessionEvent::RequestEnded { request, .. } = event
///             && &*request.details.method == "tools/call"
///         {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called for each event of a session.
    ///
    /// The session id is a secret: anyone who knows it can act for the client. To name the session
    /// elsewhere, use [`SessionId::short`].
    fn on_session_event(&self, session: SessionId, event: &SessionEvent);

    /// Returns the ids of the span that the observer has for the request which an event concerns:
    /// the log line of the event contains them.
    ///
    /// Called right before [`on_session_event`](Self::on_session_event), also for an event that
    /// begins a request, and only if the line is logged. For an event of a stream with several
    /// requests, it is one of them.
    fn span_ids(&self, session: SessionId, event: &SessionEvent) -> Option<SpanIds> {
        let _ = (session, event);
        None
    }

    /// Returns whether the observer traces requests. One that only counts them returns `false`: it
    /// need not be called for [`RequestBegan`](SessionEvent::RequestBegan) and
    /// [`ConnectionClosed`](SessionEvent::ConnectionClosed), and requests need not have an
    /// [`http_traceparent`](ObservedRequest::http_traceparent), all of which cost time for each
    /// request. It still is called for those that are logged. Called once, when the manager is
    /// built.
    fn traces_requests(&self) -> bool {
        true
    }

    /// Called for each request that [`StreamableHttp`](crate::StreamableHttp) refuses.
    #[cfg(feature = "http")]
    fn on_refused(&self, refused: &Refused) {
        let _ = refused;
    }
}

/// The log and the observer of a manager, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    /// The name of the server, for the log.
    name: Option<Arc<str>>,
    observer: Option<Arc<dyn Observer>>,
    traces_requests: bool,
}

impl Observers {
    pub(crate) fn new(name: Option<Arc<str>>, observer: Option<Arc<dyn Observer>>) -> Self {
        let traces_requests = observer.as_ref().is_some_and(|observer| observer.traces_requests());
        Self { name, observer, traces_requests }
    }

    /// Returns whether there is an observer.
    pub(crate) fn is_some(&self) -> bool {
        self.observer.is_some()
    }

    /// Returns whether the observer traces requests.
    pub(crate) fn traces_requests(&self) -> bool {
        self.traces_requests
    }

    /// Logs an event, and calls the observer. No lock of a session is held.
    pub(crate) fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        log::event(session, self.name.as_deref(), event, || {
            self.call(|observer| observer.span_ids(session, event)).flatten()
        });
        self.call(|observer| observer.on_session_event(session, event));
    }

    #[cfg(feature = "http")]
    pub(crate) fn on_refused(&self, refused: &Refused) {
        self.call(|observer| observer.on_refused(refused));
    }

    /// Calls the observer, if there is one and it does not panic.
    fn call<T>(&self, call: impl FnOnce(&dyn Observer) -> T) -> Option<T> {
        let observer = self.observer.as_ref()?;
        let called = catch_unwind(AssertUnwindSafe(|| call(&**observer)));
        called.inspect_err(|_| log::observer_panicked()).ok()
    }
}
