//! The driver of the machine: its actions.

use rejoin_core::client::{Action, Content, Event, ExchangeId, Input, Notice, Report};
use rejoin_core::{EventId, Head, Notification, StreamId};

use super::link::HttpRequest;
use super::world::{self, World};
use crate::kit::checker::StreamChecker;

impl World {
    /// Passes an input to the machine, and carries out its actions.
    pub(super) fn feed(&mut self, input: Input<u64>) -> Result<(), String> {
        self.handle(input).map(drop)
    }

    /// Passes an event to the machine. Returns whether it was dropped as a duplicate.
    pub(super) fn feed_event(
        &mut self,
        exchange: ExchangeId,
        event: Event<u64>,
    ) -> Result<bool, String> {
        self.handle(Input::Event { exchange, event })
    }

    fn handle(&mut self, input: Input<u64>) -> Result<bool, String> {
        self.note(&format_args!("machine <- {input:?}"));
        let mut actions = Vec::new();
        self.machine.handle(self.now, input, &mut actions);
        if let Some(deadline) = self.machine.deadline() {
            if deadline <= self.now {
                return Err(format!("the deadline {deadline:?} is not in the future"));
            }
            if self.machine_timer.is_none_or(|timer| deadline < timer) {
                self.machine_timer = Some(deadline);
                self.schedule_at(deadline, world::Event::MachineTick);
            }
        }
        if self.is_finished && !actions.is_empty() {
            return Err(format!("actions after the end: {actions:?}"));
        }
        let is_duplicate = actions.contains(&Action::Report(Report::DuplicateEvent));
        let responds = |action: &Action<u64>| matches!(action, Action::Deliver { message } if self.is_response(*message));
        let is_dropped = is_duplicate && !actions.iter().any(responds);
        for action in actions {
            self.note(&format_args!("machine -> {action:?}"));
            self.carry_out(action)?;
        }
        if self.machine.exchanges() > self.machine.pending_requests() + 1_024 + 64 {
            return Err("too many exchanges".to_owned());
        }
        Ok(is_dropped)
    }

    fn is_response(&self, body: u64) -> bool {
        let sent = self.messages.get(body);
        sent.is_some_and(|sent| matches!(sent.head, Head::Response { .. } | Head::Error { .. }))
    }

    fn carry_out(&mut self, action: Action<u64>) -> Result<(), String> {
        match action {
            Action::Post { exchange, session, content } => {
                let message = match content {
                    Content::Message(body) => {
                        let sent = self.messages.get(body).ok_or("an unknown message")?;
                        rejoin_core::Message { head: sent.head.clone(), body, bytes: 100 }
                    }
                    Content::Initialized => {
                        let head = Head::Notification(Notification::Other);
                        self.messages.create(0, head, 60)
                    }
                    Content::Busy { request } => {
                        self.messages.create(0, Head::Error { id: Some(request) }, 60)
                    }
                };
                let session = session_no(session.id.as_deref());
                self.open_link(exchange, HttpRequest::Post { session, message });
            }
            Action::Get { exchange, session, last_event_id } => {
                let session = session_no(session.id.as_deref());
                let id = last_event_id.as_deref().map(str::parse::<EventId>).transpose();
                let mut last_event_id = id.map_err(|error| error.to_string())?;
                if let Some(id) = &mut last_event_id {
                    self.coverage.hit("resumes");
                    self.check_resume(session, *id)?;
                    // Of the standalone stream, the first events may never have been delivered.
                    let back = self.rng.between(0, id.index);
                    if id.stream != StreamId::Standalone && back > 0 && self.is_fault(10) {
                        self.coverage.hit("resumes: more was replayed");
                        id.index -= back.min(3);
                    }
                }
                self.open_link(exchange, HttpRequest::Get { session, last_event_id });
            }
            Action::Delete { exchange, session } => {
                let session = session_no(session.id.as_deref());
                self.open_link(exchange, HttpRequest::Delete { session });
            }
            Action::Abort { exchange } => self.close_at_client(exchange),
            Action::Deliver { message } => self.on_delivered(message)?,
            Action::Fail { request, failure } => self.on_failed(&request, &failure)?,
            Action::Notify(Notice::SessionLost) => self.coverage.hit("notified: session lost"),
            Action::Report(Report::SessionRenewed { .. }) => self.coverage.hit("sessions: renewed"),
            Action::Report(Report::DroppedResponse { .. }) => {
                self.coverage.hit("dropped: response");
            }
            Action::Notify(Notice::Cancelled { .. } | Notice::ListsChanged(_))
            | Action::Report(_) => {}
            Action::Finish => self.is_finished = true,
        }
        Ok(())
    }

    /// Checks that a stream is resumed after the last event that was delivered of it.
    fn check_resume(&self, session: Option<usize>, id: EventId) -> Result<(), String> {
        let stream = session.and_then(|session| self.streams.get(&(session, id.stream)));
        let last = stream.and_then(StreamChecker::last_event_id);
        if last == Some(id) {
            return Ok(());
        }
        Err(format!("resumed after {id}, but the last event that was delivered is {last:?}"))
    }
}

fn session_no(id: Option<&str>) -> Option<usize> {
    id?.strip_prefix('s')?.parse().ok()
}
