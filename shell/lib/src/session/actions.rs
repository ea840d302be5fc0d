//! The actions of the core, carried out under the lock of the session.

use rejoin_core::{
    Action, Actions, Answer, CloseReason, ConnectionId, Event, EventId, Failure, Report, StreamId,
};

use super::{
    buffer::{End, SseEvent},
    client_messages::QueuePermits,
    state::LockedSession,
};
use crate::{
    log,
    observer::SessionEvent,
    payload::Payload,
    render::{self, INTERNAL_ERROR},
};

impl<P: Payload> LockedSession<'_, P> {
    /// Carries out actions. Returns the stream that holds the sender of the input, if one does.
    pub(super) fn carry_out(
        &mut self,
        actions: &mut Actions<P::Client, P::Server>,
        mut permits: Option<&mut QueuePermits<'_>>,
    ) -> Option<StreamId> {
        let mut held_by = None;
        for action in actions.drain() {
            match action {
                Action::Forward { message } => {
                    if let Some(permits) = permits.as_deref_mut() {
                        self.after_unlock.wake(self.session.queue.forward(message, permits));
                        self.after_unlock.run_handler = true;
                    }
                }
                Action::Send { connection, id, event } => {
                    let event = self.sse_event(id, event);
                    self.push_event(connection, event);
                }
                Action::Respond { connection, answer } => {
                    let data = match answer {
                        Answer::Message(data) => data,
                        Answer::Failure(failure) => self.error(&failure),
                    };
                    self.push_event(connection, SseEvent::Message { id: None, data });
                }
                Action::Discard { connection } => {
                    if let Some(buffer) = self.state.buffers.get_mut(connection) {
                        self.after_unlock.wake(buffer.discard());
                    }
                }
                Action::Close { connection, reason } => {
                    let is_traced = self.session.shared.observers.traces_requests();
                    if is_traced || log::logs_closed_connections() {
                        let closed = SessionEvent::ConnectionClosed { connection, reason };
                        self.after_unlock.events.push(closed);
                    }
                    if let Some(buffer) = self.state.buffers.get_mut(connection) {
                        self.after_unlock.wake(buffer.close(end(reason)));
                    }
                }
                Action::Cut { connection, reason } => {
                    let cut = SessionEvent::ConnectionCut { connection, reason };
                    self.after_unlock.events.push(cut);
                    if let Some(buffer) = self.state.buffers.get_mut(connection) {
                        self.after_unlock.wake(buffer.cut());
                    }
                }
                Action::FailServerRequest { id, reason } => {
                    let text = render::unanswered(reason);
                    self.send_to_backend(P::error_for_backend(&id, INTERNAL_ERROR, text));
                }
                Action::CancelRequest { id } => self.send_to_backend(P::cancellation(&id)),
                Action::Hold { stream } => held_by = Some(stream),
                Action::Release { stream } => {
                    held_by.take_if(|held_by| *held_by == stream);
                    let senders = &mut self.state.held_senders;
                    let released = senders.extract_if(.., |(held_by, _)| *held_by == stream);
                    self.after_unlock.released_senders.extend(released.map(|(_, sender)| sender));
                }
                Action::SessionClosed { reason, .. } => self.close(reason),
                #[cfg(feature = "store")]
                Action::Commit(record) => self.add_record(&record),
                // `ManagerConfig` does not allow sessions to commit.
                #[cfg(not(feature = "store"))]
                Action::Commit(_) => {}
                Action::Report(Report::RequestEnded { id, outcome, .. }) => {
                    self.observe_end(&id, outcome);
                }
                Action::Report(report) => {
                    if matches!(report, Report::UnknownProgressToken { .. }) {
                        let dropped = &mut self.state.progress_dropped;
                        *dropped = dropped.saturating_add(1);
                    }
                    self.after_unlock.events.push(SessionEvent::Report(report));
                }
            }
        }
        held_by
    }

    fn push_event(&mut self, connection: ConnectionId, event: SseEvent<P::Server>) {
        if let Some(buffer) = self.state.buffers.get_mut(connection) {
            self.after_unlock.wake(buffer.push(event));
        }
    }

    fn sse_event(&mut self, id: EventId, event: Event<P::Server>) -> SseEvent<P::Server> {
        match event {
            Event::Message(data) => SseEvent::Message { id: Some(id), data },
            Event::Failure(failure) => {
                SseEvent::Message { id: Some(id), data: self.error(&failure) }
            }
            Event::Priming { retry } => SseEvent::Priming { id, retry },
            Event::Gap { first } => {
                let EventId { stream, index: last } = id;
                self.after_unlock.events.push(SessionEvent::Gap { stream, first, last });
                let initialized = self.state.core.initialized();
                let has_logging = initialized.is_some_and(|result| result.logging);
                let notification = has_logging.then(|| P::gap_notification(id, first));
                SseEvent::Gap { id, first, notification }
            }
        }
    }

    /// Returns the JSON-RPC error for a failure.
    fn error(&self, failure: &Failure) -> P::Server {
        let exit = self.state.backend_exit.as_ref();
        let exit_reason = exit.and_then(|exit| exit.reason.as_deref());
        let text = render::failure(failure.reason, self.state.core.close_reason(), exit_reason);
        P::error_for_client(&failure.id, &text)
    }
}

/// Returns why a closed connection gets no more events: whether its client has anything to resume.
fn end(reason: CloseReason) -> End {
    match reason {
        CloseReason::Complete | CloseReason::Cancelled | CloseReason::Abandoned => End::Complete,
        CloseReason::Requested | CloseReason::TooManyShadows => End::Interrupted,
        CloseReason::SessionClosed => End::Lost,
    }
}
