//! The tasks of a backend: execute their plans, and wait while they are held.

use std::time::Duration;

use rejoin_core::{
    ApiMisuse, Head, Initialized, Input, Method, Notification, Overflow, ProgressToken, Rejection,
    RequestId, StreamId,
};

use super::Outgoing;
use crate::kit::{BackendAction, Fault};
use crate::laws::request_id;
use crate::simulation::Simulation;
use crate::simulation::checker::check_server_request;
use crate::simulation::event_queue::{ServerNo, SimEvent, TaskNo};

/// What comes after an action of a task.
enum Next {
    /// The next action.
    Action,
    /// The task waits for the release of a stream, if one holds it, and sends its message again
    /// if that was rejected.
    Wait { held: Option<StreamId>, rejected: Option<Outgoing> },
}

impl Simulation {
    /// Executes the next action of a task, or sends its rejected message again.
    pub(in crate::simulation) fn run_task(
        &mut self,
        no: ServerNo,
        task_no: TaskNo,
    ) -> Result<(), String> {
        let Some(backend) = self.backend(no) else {
            return Ok(());
        };
        let Some(task) = backend.tasks.get_mut(&task_no).filter(|task| task.held.is_none()) else {
            return Ok(());
        };
        let (request, token) = (task.request.clone(), task.token.clone());
        let overflow = if task.ignores_backpressure { Overflow::Evict } else { Overflow::Hold };
        let next = if let Some(outgoing) = task.rejected.take() {
            self.coverage.hit("messages: sent again");
            self.send(no, outgoing, overflow)?
        } else {
            let Some((_, action)) = task.actions.pop_front() else {
                backend.tasks.remove(&task_no);
                if request.is_none() && !self.is_fault_free {
                    self.start_task(no, None, Method::Other, None);
                }
                return Ok(());
            };
            if action == BackendAction::Response && backend.is_overtaking(task_no) {
                self.coverage.hit("responses: out of order");
            }
            self.perform(no, request.as_ref(), token, action, overflow)?
        };
        let Some(task) = self.backend(no).and_then(|backend| backend.tasks.get_mut(&task_no))
        else {
            return Ok(());
        };
        let delay = match next {
            Next::Wait { held: Some(stream), rejected } => {
                task.held = Some(stream);
                task.rejected = rejected;
                self.coverage.hit("senders: held");
                return Ok(());
            }
            // Released at once.
            Next::Wait { held: None, rejected } => {
                task.rejected = rejected;
                Duration::ZERO
            }
            Next::Action => {
                task.actions.front().map_or(Duration::from_millis(100), |(delay, _)| *delay)
            }
        };
        self.schedule_after(delay, SimEvent::BackendTask(no, task_no));
        Ok(())
    }

    /// Executes an action.
    fn perform(
        &mut self,
        no: ServerNo,
        request: Option<&RequestId>,
        token: Option<ProgressToken>,
        action: BackendAction,
        overflow: Overflow,
    ) -> Result<Next, String> {
        let head = match action {
            BackendAction::Exit => {
                if self.handle_input(no, Input::BackendGone)?.is_ok() {
                    self.coverage.hit_fault(Fault::BackendExit);
                }
                return Ok(Next::Action);
            }
            BackendAction::Disconnect => {
                self.disconnect(no, request)?;
                return Ok(Next::Action);
            }
            BackendAction::Initialized
            | BackendAction::Progress
            | BackendAction::Log
            | BackendAction::Notification
            | BackendAction::ServerRequest
            | BackendAction::Response
            | BackendAction::DuplicateResponse
            | BackendAction::ErrorResponse
            | BackendAction::UnknownResponse => self.head_of(no, request, token, action),
        };
        let bytes = self.message_bytes(no);
        let message = self.messages.create(no, head, bytes);
        let related = request
            .cloned()
            .filter(|_| self.backend(no).is_some_and(|backend| backend.rng.chance(850)));
        self.send(no, Outgoing { action, message, related }, overflow)
    }

    /// Sends a message to the session.
    fn send(
        &mut self,
        no: ServerNo,
        outgoing: Outgoing,
        overflow: Overflow,
    ) -> Result<Next, String> {
        let Outgoing { action, message, related } = outgoing.clone();
        let mut server_request = request_id(&message.head).cloned();
        if let (Some(id), Some(backend)) = (&server_request, self.backend(no)) {
            // Inserted first, because the request may fail at once. Its id may be in use
            // already.
            let is_new = backend.server_requests.insert(id.clone());
            server_request = server_request.filter(|_| is_new);
        }
        let input = Input::BackendMessage { message, related, overflow };
        let (result, held) = self.handle_backend_message(no, input)?;
        let Err(rejection) = result else {
            if let Some(id) = server_request {
                let timeout = self.parameters.server_request_timeout;
                self.schedule_after(timeout, SimEvent::ServerRequestTimeout(no, id));
            }
            if action == BackendAction::DuplicateResponse {
                self.coverage.hit_fault(Fault::DuplicateResponse);
            } else if action == BackendAction::UnknownResponse {
                self.coverage.hit_fault(Fault::UnknownResponse);
            } else if action == BackendAction::Initialized {
                self.start_task(no, None, Method::Other, None);
            }
            if held.is_some() && overflow == Overflow::Evict {
                self.coverage.hit_fault(Fault::IgnoresBackpressure);
                return Ok(Next::Action);
            }
            return Ok(match held {
                Some(_) => Next::Wait { held, rejected: None },
                None => Next::Action,
            });
        };
        if let Some(id) = server_request {
            self.remove_server_request(no, &id);
        }
        match rejection {
            Rejection::Full => {
                self.coverage.hit("messages: rejected as full");
                Ok(Next::Wait { held, rejected: Some(outgoing) })
            }
            Rejection::Backend(_) | Rejection::Closed(_) => Ok(Next::Action),
            Rejection::Client(_) | Rejection::ApiMisuse(_) | Rejection::Draining => {
                Err(format!("a backend message was rejected: {rejection}"))
            }
        }
    }

    fn head_of(
        &mut self,
        no: ServerNo,
        request: Option<&RequestId>,
        token: Option<ProgressToken>,
        action: BackendAction,
    ) -> Head {
        let Some(server) = self.servers.get_mut(no) else {
            return Head::Notification(Notification::Other);
        };
        let rng = &mut server.backend.rng;
        let id = request.cloned().unwrap_or(0.into());
        match action {
            BackendAction::Initialized => {
                let logging = rng.chance(500);
                Head::Response {
                    id,
                    initialized: Initialized { version: server.version, logging },
                    creates_task: false,
                }
            }
            BackendAction::Response | BackendAction::DuplicateResponse => {
                Head::Response { id, initialized: Initialized::default(), creates_task: false }
            }
            BackendAction::ErrorResponse => Head::Error { id: Some(id) },
            BackendAction::UnknownResponse => {
                let id = (!rng.chance(200)).then(|| (-7).into());
                Head::Error { id }
            }
            BackendAction::Progress => Head::Notification(match token {
                Some(token) => Notification::Progress { token },
                None => Notification::Other,
            }),
            BackendAction::Log => Head::Notification(Notification::Log),
            BackendAction::ServerRequest => {
                server.backend.next_server_request += 1;
                let next: RequestId = server.backend.next_server_request.into();
                // Now and then an id that is in use.
                let used = server.backend.server_requests.first().filter(|_| rng.chance(20));
                let id = used.cloned().unwrap_or(next);
                Head::Request { id, method: Method::Other, progress_token: None }
            }
            BackendAction::Notification | BackendAction::Disconnect | BackendAction::Exit => {
                Head::Notification(Notification::Other)
            }
        }
    }

    /// Returns the size of a message, which now and then exceeds the limit.
    fn message_bytes(&mut self, no: ServerNo) -> usize {
        let rate = self.faults.rate(Fault::OversizedMessage);
        let most = self.parameters.config.message_bytes_max;
        let Some(rng) = self.backend(no).map(|backend| &mut backend.rng) else {
            return 0;
        };
        if rng.chance(rate) {
            self.coverage.hit_fault(Fault::OversizedMessage);
            return most.saturating_add(1);
        }
        rng.size(0, 300)
    }

    /// Disconnects the stream of a request, or the standalone stream.
    fn disconnect(&mut self, no: ServerNo, request: Option<&RequestId>) -> Result<(), String> {
        let Some(server) = self.servers.get_mut(no) else {
            return Ok(());
        };
        let stream = match request {
            Some(id) => server.view.stream_of(id).unwrap_or(StreamId::Request(0)),
            None => StreamId::Standalone,
        };
        let rng = &mut server.backend.rng;
        let retry = rng.chance(600).then(|| rng.millis(0, 400));
        match self.handle_input(no, Input::Disconnect { stream, retry })? {
            Ok(()) => {
                self.coverage.hit_fault(Fault::Disconnect);
                Ok(())
            }
            Err(
                Rejection::ApiMisuse(
                    ApiMisuse::UnknownStream(_)
                    | ApiMisuse::StreamNotOpen(_)
                    | ApiMisuse::NothingToResumeFrom(_),
                )
                | Rejection::Closed(_),
            ) => Ok(()),
            Err(rejection) => Err(format!("a disconnect by the backend was rejected: {rejection}")),
        }
    }

    /// Cancels a server request that was not answered in time.
    pub(in crate::simulation) fn time_out_server_request(
        &mut self,
        no: ServerNo,
        request: RequestId,
    ) -> Result<(), String> {
        if !self.remove_server_request(no, &request) {
            return Ok(());
        }
        self.coverage.hit("server requests: cancelled");
        self.failed_session = Some(no);
        if let Some(server) = self.servers.get(no) {
            let detached = |stream| {
                let since = server.detached_since.get(&stream)?;
                // It cannot have been undelivered for longer than it was pending.
                Some(self.now.since(*since).min(self.parameters.server_request_timeout))
            };
            let exists = |stream| server.view.closed.is_none() && server.view.log(stream).is_some();
            let timeout = self.config.delivery_timeout;
            if let Some((stream, index)) = server.ground_truth.position_of(&request)
                && server.acknowledged.get(&stream).is_none_or(|acknowledged| *acknowledged < index)
            {
                check_server_request(&request, exists(stream), detached(stream), timeout)?;
            }
        }
        let head = Head::Notification(Notification::Cancelled { request });
        let message = self.messages.create(no, head, 60);
        // No task waits for it.
        let overflow = Overflow::Evict;
        self.handle_input(no, Input::BackendMessage { message, related: None, overflow }).map(drop)
    }
}
