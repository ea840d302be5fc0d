//! Backends, which execute the actions that were planned for each request.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_core::{
    Head, Initialized, Input, Method, Notification, Overflow, ProgressToken, ProtocolVersion,
    RequestId, StreamId,
};

use super::agenda::{Event, NodeEvent};
use super::faults::ClusterFault;
use super::names::{BackendNo, NodeNo, SessionNo, TaskNo};
use super::{Checked, Cluster};
use crate::kit::{BackendAction, Faults, Rng, plan_initialize, plan_response, plan_unrelated};

/// A backend of a session.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) node: NodeNo,
    session: SessionNo,
    rng: Rng,
    tasks: BTreeMap<TaskNo, Task>,
    server_requests: BTreeSet<RequestId>,
}

/// What is left to do for one request, or for none.
#[derive(Debug)]
struct Task {
    request: Option<RequestId>,
    token: Option<ProgressToken>,
    actions: VecDeque<(Duration, BackendAction)>,
}

impl Cluster {
    /// Opens a backend for a session.
    pub(super) fn open_backend(&mut self, node: NodeNo, session: SessionNo) {
        let no: BackendNo = self.next_number();
        let rng = Rng::new(self.parameters.seed, 44, no);
        let (tasks, server_requests) = (BTreeMap::new(), BTreeSet::new());
        self.backends.insert(no, Backend { node, session, rng, tasks, server_requests });
        if let Some(owned) = self.owned(node, session) {
            owned.backend = Some(no);
        }
    }

    fn backend_of(&mut self, no: NodeNo, session: SessionNo) -> Option<(BackendNo, &mut Backend)> {
        let backend = self.owned(no, session)?.backend?;
        Some((backend, self.backends.get_mut(&backend)?))
    }

    /// Delivers a message of the client.
    pub(super) fn deliver_to_backend(&mut self, no: NodeNo, session: SessionNo, body: u64) {
        let Some((_, head)) = self.sent(body) else { return };
        match head {
            Head::Request { id, method, progress_token } => {
                self.start_task(no, session, Some((id, method)), progress_token);
            }
            Head::Notification(Notification::Cancelled { request }) => {
                self.cancel_task(no, session, &request);
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.coverage.hit("server requests: answered");
                self.end_server_request(no, session, &id);
            }
            Head::Notification(_) | Head::Error { id: None } => {}
        }
    }

    /// Ends a server request.
    pub(super) fn end_server_request(&mut self, no: NodeNo, session: SessionNo, id: &RequestId) {
        if let Some((_, backend)) = self.backend_of(no, session) {
            backend.server_requests.remove(id);
        }
    }

    /// Cancels the task of a request.
    pub(super) fn cancel_task(&mut self, no: NodeNo, session: SessionNo, id: &RequestId) {
        if let Some((_, backend)) = self.backend_of(no, session) {
            backend.tasks.retain(|_, task| task.request.as_ref() != Some(id));
        }
    }

    fn start_task(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        request: Option<(RequestId, Method)>,
        token: Option<ProgressToken>,
    ) {
        let task_no: TaskNo = self.next_number();
        let exits = self.rate(ClusterFault::BackendExit);
        let exits = self.fault_rng.chance(exits);
        let mut coverage = std::mem::take(&mut self.coverage);
        let Some((backend_no, backend)) = self.backend_of(no, session) else {
            self.coverage = coverage;
            return;
        };
        let (mut actions, faults) = (VecDeque::new(), Faults::default());
        let rng = &mut backend.rng;
        match &request {
            Some((_, Method::Initialize { .. })) => {
                plan_initialize(&mut actions, rng, &faults, &mut coverage);
            }
            Some(_) => {
                plan_response(&mut actions, rng, &faults, &mut coverage);
                if rng.chance(100) {
                    actions.push_front((rng.millis(0, 300), BackendAction::Disconnect));
                }
                if exits {
                    actions.push_front((rng.millis(0, 100), BackendAction::Exit));
                }
            }
            None => plan_unrelated(&mut actions, rng, &faults, &mut coverage),
        }
        let first = actions.front().map(|(delay, _)| *delay);
        let request = request.map(|(id, _)| id);
        backend.tasks.insert(task_no, Task { request, token, actions });
        self.coverage = coverage;
        if let Some(delay) = first {
            self.schedule_task(no, backend_no, task_no, delay);
        }
    }

    fn schedule_task(&mut self, no: NodeNo, backend: BackendNo, task: TaskNo, delay: Duration) {
        let at = self.now.saturating_add(delay);
        self.agenda.push(at, Event::Node(no, NodeEvent::Task(backend, task)));
    }

    /// Executes the next action of a task.
    pub(super) fn run_task(
        &mut self,
        no: NodeNo,
        backend_no: BackendNo,
        task_no: TaskNo,
    ) -> Checked {
        let is_healed = self.is_healed;
        let Some(backend) = self.backends.get_mut(&backend_no) else { return Ok(()) };
        let session = backend.session;
        let Some(task) = backend.tasks.get_mut(&task_no) else { return Ok(()) };
        let (request, token) = (task.request.clone(), task.token.clone());
        let Some((_, action)) = task.actions.pop_front() else {
            backend.tasks.remove(&task_no);
            if request.is_none() && !is_healed {
                self.start_task(no, session, None, None);
            }
            return Ok(());
        };
        let next = task.actions.front().map_or(Duration::from_millis(200), |(delay, _)| *delay);
        self.perform(no, session, request, token, action)?;
        self.schedule_task(no, backend_no, task_no, next);
        Ok(())
    }

    fn perform(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        request: Option<RequestId>,
        token: Option<ProgressToken>,
        action: BackendAction,
    ) -> Checked {
        match action {
            BackendAction::Exit => {
                self.hit_fault(ClusterFault::BackendExit);
                return self.lose_backend(no, session);
            }
            BackendAction::Disconnect => {
                let Some(owned) = self.owned(no, session) else { return Ok(()) };
                let stream = match &request {
                    Some(id) => owned.session.stream_of(id),
                    None => Some(StreamId::Standalone),
                };
                let Some(stream) = stream else { return Ok(()) };
                let retry = Some(Duration::from_millis(100));
                if self.handle(no, session, Input::Disconnect { stream, retry })?.is_ok() {
                    self.coverage.hit("streams: disconnected");
                }
                return Ok(());
            }
            BackendAction::Initialized
            | BackendAction::Progress
            | BackendAction::Log
            | BackendAction::Notification
            | BackendAction::ServerRequest
            | BackendAction::Response
            | BackendAction::DuplicateResponse
            | BackendAction::ErrorResponse
            | BackendAction::UnknownResponse => {}
        }
        let most = self.parameters.message_bytes;
        let server_request = i64::try_from(self.next_number()).unwrap_or(i64::MAX);
        let Some((_, backend)) = self.backend_of(no, session) else { return Ok(()) };
        let bytes = backend.rng.size(1, most);
        let is_related = backend.rng.chance(850);
        let id = request.clone().unwrap_or(0.into());
        let head = match action {
            BackendAction::Initialized => Head::Response {
                id,
                initialized: Initialized {
                    version: ProtocolVersion::new("2025-11-25"),
                    logging: true,
                },
                creates_task: false,
            },
            BackendAction::Response => {
                Head::Response { id, initialized: Initialized::default(), creates_task: false }
            }
            BackendAction::ErrorResponse => Head::Error { id: Some(id) },
            BackendAction::Progress => Head::Notification(match token {
                Some(token) => Notification::Progress { token },
                None => Notification::Other,
            }),
            BackendAction::Log => Head::Notification(Notification::Log),
            BackendAction::ServerRequest => {
                let id: RequestId = server_request.into();
                backend.server_requests.insert(id.clone());
                Head::Request { id, method: Method::Other, progress_token: None }
            }
            BackendAction::Notification
            | BackendAction::DuplicateResponse
            | BackendAction::UnknownResponse
            | BackendAction::Disconnect
            | BackendAction::Exit => Head::Notification(Notification::Other),
        };
        let message = self.message(session, head, bytes);
        let related = request.filter(|_| is_related);
        let input = Input::BackendMessage { message, related, overflow: Overflow::Evict };
        let result = self.handle(no, session, input)?;
        if action == BackendAction::Initialized {
            self.start_task(no, session, None, None);
        }
        match result {
            Ok(())
            | Err(rejoin_core::Rejection::Closed(_) | rejoin_core::Rejection::Backend(_)) => Ok(()),
            Err(rejection) => Err(format!("a message of a backend was rejected: {rejection}")),
        }
    }
}
