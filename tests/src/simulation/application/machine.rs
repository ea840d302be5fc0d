//! The driver of the machine: its actions.

use rejoin_core::client::{Action, Event, ExchangeId, Input, Notice, Report};
use rejoin_core::{EventId, StreamId};

use super::link::HttpRequest;
use super::world::{self, World};
use crate::kit::checker::StreamChecker;

/// Maximum DELETEs without a response.
const DELETES_MAX: usize = 4;

impl World {
    /// Passes an input to the machine, and carries out its actions.
    pub(super) fn feed(&mut self, input: Input<u64>) -> Result<(), String> {
        self.handle(input).map(drop)
    }

    /// Passes an event to the machine. Returns what the application gets.
    pub(super) fn feed_event(
        &mut self,
        exchange: ExchangeId,
        event: Event<u64>,
    ) -> Result<Vec<u64>, String> {
        self.handle(Input::Event { exchange, event })
    }

    fn handle(&mut self, input: Input<u64>) -> Result<Vec<u64>, String> {
        self.note(&format_args!("machine <- {input:?}"));
        self.check_unsent(&input)?;
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
        let (exchanges, pending) = (self.machine.exchanges(), self.machine.pending_requests());
        let mut delivered = Vec::new();
        for action in actions {
            self.note(&format_args!("machine -> {action:?}"));
            if let Action::Deliver { message } = action {
                delivered.push(message);
            }
            self.carry_out(action)?;
        }
        self.check_bounds(exchanges, pending)?;
        if self.session.is_none() && !self.server_requests.is_empty() {
            return Err(format!("{:?} were not cancelled", self.server_requests));
        }
        Ok(delivered)
    }

    /// Checks that a number of exchanges is within the limits of the machine: one for each pending
    /// request and each other outgoing message, those that linger or open a session, and DELETEs.
    fn check_bounds(&self, exchanges: usize, pending: usize) -> Result<(), String> {
        let config = &self.config;
        let others = config.queued_max + config.server_requests_max + config.lingering_max + 3;
        let deletes = self.links.values().filter(|link| {
            link.is_open_at_client && matches!(link.request, HttpRequest::Delete { .. })
        });
        let deletes = deletes.count();
        if pending > config.requests_max
            || deletes > DELETES_MAX
            || exchanges > pending + others + deletes
        {
            return Err(format!(
                "{exchanges} exchanges, {deletes} of them DELETEs; {pending} pending requests"
            ));
        }
        Ok(())
    }

    fn carry_out(&mut self, action: Action<u64>) -> Result<(), String> {
        match action {
            Action::Post { exchange, session, content } => {
                let session = session_no(session.id.as_deref());
                self.sessions.check_use(session)?;
                let message = self.posted_message(session, &content)?;
                self.unsent.on_posted(&message.head);
                self.open_link(exchange, HttpRequest::Post { session, message });
            }
            Action::Get { exchange, session, last_event_id } => {
                let session = session_no(session.id.as_deref());
                self.sessions.check_use(session)?;
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
                if self.phase != world::Phase::Closing {
                    self.coverage.hit("sessions: given up");
                }
                self.sessions.delete(session)?;
                self.open_link(exchange, HttpRequest::Delete { session });
            }
            Action::Abort { exchange } => self.close_at_client(exchange),
            Action::Deliver { message } => self.on_delivered(message)?,
            Action::Fail { request, failure } => self.on_failed(&request, &failure)?,
            Action::Notify(Notice::SessionLost) => self.coverage.hit("notified: session lost"),
            Action::Report(Report::SessionRenewed { .. }) => {
                self.coverage.hit("sessions: renewed");
                self.unsent.on_session_renewed();
            }
            Action::Report(Report::SessionLost) => {
                self.coverage.hit("sessions: lost");
                self.unsent.on_session_lost(self.now);
                self.session = None;
            }
            Action::Report(Report::NotRenewed { .. }) => {
                self.coverage.hit("sessions: begun after a delay");
                self.session = None;
            }
            Action::Report(Report::DroppedServerRequest { .. }) => {
                self.coverage.hit("dropped: server request");
            }
            Action::Report(Report::DroppedResponse { .. }) => {
                self.coverage.hit("dropped: response");
            }
            Action::Notify(Notice::Cancelled { request }) => {
                self.coverage.hit("notified: cancelled");
                if !self.server_requests.remove(&request) {
                    return Err(format!("{request} was cancelled, but is not pending"));
                }
            }
            Action::Notify(Notice::ListsChanged(_)) | Action::Report(_) => {}
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
