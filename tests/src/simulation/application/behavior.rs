//! The behavior of the application, and what it gets.

use rejoin_core::client::{CallFailure, Input};
use rejoin_core::{Head, Initialized, Message, Method, Notification, RequestId};

use super::world::{Event, Phase, World};

/// Maximum pending requests of the application.
const PENDING_MAX: usize = 12;

/// A request of the application.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) body: u64,
    pub(super) outcome: Option<Outcome>,
    /// Whether it was made without faults.
    must_be_answered: bool,
}

/// How a request has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Cancelled,
    Failed(CallFailure),
}

impl World {
    pub(super) fn is_settled(&self) -> bool {
        self.is_initialized && self.requests_left == 0 && self.unsettled().is_empty()
    }

    pub(super) fn unsettled(&self) -> Vec<&RequestId> {
        let open = self.requests.iter().filter(|(_, request)| request.outcome.is_none());
        open.map(|(id, _)| id).collect()
    }

    /// Performs the next step of the application.
    pub(super) fn turn(&mut self) -> Result<(), String> {
        let delay = if self.rng.chance(20) {
            self.rng.millis(5_000, 30_000)
        } else {
            self.rng.millis(0, 2_500)
        };
        if self.phase == Phase::Closing {
            return Ok(());
        }
        self.schedule(delay, Event::Turn);
        if !self.is_initialized {
            let is_pending = self.requests.values().any(|request| request.outcome.is_none());
            return if is_pending { Ok(()) } else { self.send_request(true) };
        }
        // As many as there is time for, and some more in the phase without faults.
        let is_calm = self.is_calm();
        if !(is_calm && self.requests_left == 0) && self.unsettled().len() < PENDING_MAX {
            self.requests_left -= usize::from(is_calm);
            self.send_request(false)?;
        }
        if self.phase == Phase::Faults && self.rng.chance(60) {
            self.cancel()?;
        }
        if self.rng.chance(50) {
            let head = Head::Notification(Notification::Other);
            let message = self.messages.create(0, head, 60);
            self.feed(Input::Message { message, is_initialized: false })?;
        }
        Ok(())
    }

    /// Returns whether no fault is left, not even a delayed request.
    fn is_calm(&self) -> bool {
        self.phase == Phase::Quiet && self.now >= self.calm_from
    }

    fn send_request(&mut self, is_initialize: bool) -> Result<(), String> {
        let id = RequestId::from(self.next_id);
        self.next_id += 1;
        let method =
            if is_initialize { Method::Initialize { version: None } } else { Method::Other };
        let head = Head::Request { id: id.clone(), method, progress_token: None };
        let message = self.messages.create(0, head, 100);
        let must_be_answered = self.is_calm();
        self.coverage.hit(if must_be_answered { "requests: without faults" } else { "requests" });
        let request = Request { body: message.body, outcome: None, must_be_answered };
        self.requests.insert(id, request);
        self.feed(Input::Message { message, is_initialized: false })
    }

    fn cancel(&mut self) -> Result<(), String> {
        let pending: Vec<RequestId> = self.unsettled().into_iter().cloned().collect();
        let nth = self.rng.size(0, pending.len().saturating_sub(1));
        let Some(id) = pending.get(nth) else { return Ok(()) };
        let Some(request) = self.requests.get_mut(id) else { return Ok(()) };
        request.outcome = Some(Outcome::Cancelled);
        let body = request.body;
        self.coverage.hit("cancelled");
        let head = Head::Notification(Notification::Cancelled { request: id.clone() });
        let message = self.messages.create(0, head, 60);
        self.cancellations.insert(message.body, body);
        self.feed(Input::Message { message, is_initialized: false })
    }

    /// Handles a message that the application gets.
    pub(super) fn on_delivered(&mut self, body: u64) -> Result<(), String> {
        let sent = self.messages.get(body).cloned().ok_or("an unknown message was delivered")?;
        match sent.head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.coverage.hit("delivered: response");
                let is_initialize = self.requests.len() == 1 || !self.is_initialized;
                self.settle(&id, Outcome::Answered)?;
                if is_initialize && !self.is_initialized {
                    self.is_initialized = true;
                    let head = Head::Notification(Notification::Other);
                    let message = self.messages.create(0, head, 60);
                    self.feed(Input::Message { message, is_initialized: true })?;
                }
            }
            Head::Request { id, .. } => {
                self.coverage.hit("delivered: server request");
                self.server_requests.insert(id.clone());
                let initialized = Initialized::default();
                let head = Head::Response { id: id.clone(), initialized, creates_task: false };
                let message = self.messages.create(0, head, 80);
                self.answers.insert(message.body, (sent.server, id));
                let delay = self.rng.millis(0, 3_000);
                self.schedule(delay, Event::Send(message));
            }
            Head::Notification(_) => self.coverage.hit("delivered: notification"),
            Head::Error { id: None } => {}
        }
        Ok(())
    }

    /// Sends the response to a request of the server, unless it was cancelled.
    pub(super) fn send_response(&mut self, message: Message<u64>) -> Result<(), String> {
        let Some((server, id)) = self.answers.get(&message.body).cloned() else { return Ok(()) };
        if self.session != Some(server) || !self.server_requests.remove(&id) {
            self.coverage.hit("responses to cancelled server requests");
            return Ok(());
        }
        self.expect_dropped(server, id);
        self.feed(Input::Message { message, is_initialized: false })
    }

    /// Handles an error of the machine in place of a response.
    pub(super) fn on_failed(
        &mut self,
        id: &RequestId,
        failure: &CallFailure,
    ) -> Result<(), String> {
        self.coverage.hit(match failure {
            CallFailure::NotInitialized => "failed: not initialized",
            CallFailure::AlreadyInitialized => "failed: already initialized",
            CallFailure::RequestIdInUse => "failed: id in use",
            CallFailure::TooManyMessages => "failed: too many messages",
            CallFailure::MessageTooLarge { .. } => "failed: message too large",
            CallFailure::Unreachable => "failed: unreachable",
            CallFailure::NoConnection { .. } => "failed: no connection",
            CallFailure::NoSession => "failed: no session",
            CallFailure::Refused { .. } => "failed: refused",
            CallFailure::ConnectionLost => "failed: connection lost",
            CallFailure::SessionLost => "failed: session lost",
            CallFailure::NotResumed => "failed: not resumed",
            CallFailure::Unanswered => "failed: unanswered",
            CallFailure::ResponseTooLarge => "failed: response too large",
            _ => "failed: unknown",
        });
        self.settle(id, Outcome::Failed(failure.clone()))
    }

    fn settle(&mut self, id: &RequestId, outcome: Outcome) -> Result<(), String> {
        let request = self.requests.get_mut(id).ok_or("a request that was never made")?;
        if let Some(known) = &request.outcome {
            return Err(format!("request {id} has ended twice: {known:?}, then {outcome:?}"));
        }
        // Limits can be reached without faults.
        let is_limit = matches!(
            outcome,
            Outcome::Failed(CallFailure::Refused { status: 429 } | CallFailure::TooManyMessages)
        );
        if request.must_be_answered && outcome != Outcome::Answered && !is_limit {
            return Err(format!("request {id} has ended without faults: {outcome:?}"));
        }
        request.outcome = Some(outcome);
        Ok(())
    }

    /// Checks what backends have executed, and that the session has ended.
    pub(super) fn check_end(&self) -> Result<(), String> {
        for (id, request) in &self.requests {
            if let Some(Outcome::Failed(failure)) = &request.outcome
                && !failure.may_be_executed()
                && self.executed.contains_key(&request.body)
            {
                return Err(format!("request {id} was executed, but has failed: {failure}"));
            }
            if request.outcome == Some(Outcome::Answered)
                && !self.executed.contains_key(&request.body)
            {
                return Err(format!("request {id} was answered, but never executed"));
            }
        }
        self.sessions.check_end()?;
        let session = self.session.ok_or("the machine has no session at its end")?;
        match self.servers.get(session).filter(|server| !server.is_lost) {
            Some(server) if server.is_open() => Err(format!("session {session} was not deleted")),
            Some(_) | None => Ok(()),
        }
    }
}
