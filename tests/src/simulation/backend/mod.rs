//! Backends, which execute the actions that were planned for each request.

mod start;
mod task;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_core::{Head, IdValue, Message, Notification, ProgressToken, RequestId, StreamId};

use super::Simulation;
use super::event_queue::{ServerNo, SimEvent, TaskNo};
use crate::kit::{BackendAction, Rng};

/// The backend of one server.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) rng: Rng,
    tasks: BTreeMap<TaskNo, Task>,
    /// Pending server requests.
    pub(super) server_requests: BTreeSet<RequestId>,
    next_task: TaskNo,
    next_server_request: i64,
}

/// The remaining actions for one request, or for none.
#[derive(Clone, Debug)]
struct Task {
    request: Option<RequestId>,
    /// The progress token of the request.
    token: Option<ProgressToken>,
    actions: VecDeque<(Duration, BackendAction)>,
    /// The stream that holds this task.
    held: Option<StreamId>,
    /// The message that was rejected because the session was full, and is sent again.
    rejected: Option<Outgoing>,
    /// Whether the task cannot wait: it goes on when it is held.
    ignores_backpressure: bool,
}

/// A message to the session.
#[derive(Clone, Debug)]
struct Outgoing {
    action: BackendAction,
    message: Message<u64>,
    related: Option<RequestId>,
}

impl Backend {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            rng,
            tasks: BTreeMap::new(),
            server_requests: BTreeSet::new(),
            next_task: 0,
            next_server_request: 0,
        }
    }

    /// Returns whether an earlier request is still without a response.
    fn is_overtaking(&self, no: TaskNo) -> bool {
        let earlier = self.tasks.range(..no).filter(|(_, task)| task.request.is_some());
        let mut left = earlier.flat_map(|(_, task)| &task.actions);
        left.any(|(_, action)| *action == BackendAction::Response)
    }

    /// Returns whether a task waits for a reader.
    pub(super) fn is_held(&self) -> bool {
        self.tasks.values().any(|task| task.held.is_some())
    }
}

impl Simulation {
    /// Delivers a message of the client to the backend.
    pub(super) fn deliver_to_backend(&mut self, no: ServerNo, body: u64) {
        let Some(head) = self.messages.get(body).map(|sent| sent.head.clone()) else {
            return;
        };
        match head {
            Head::Request { id, method, progress_token } => {
                self.start_task(no, Some(id), method, progress_token);
            }
            Head::Notification(Notification::Cancelled { request }) => {
                self.cancel_task(no, &request);
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                if self.remove_server_request(no, &id) {
                    self.coverage.hit("server requests: answered");
                }
            }
            Head::Notification(_) | Head::Error { id: None } => {}
        }
    }

    /// Removes a server request. Returns whether it was pending.
    pub(super) fn remove_server_request(&mut self, no: ServerNo, id: &RequestId) -> bool {
        self.servers.get_mut(no).is_some_and(|server| server.backend.server_requests.remove(id))
    }

    /// Cancels the task of a request, or ignores the cancellation.
    pub(super) fn cancel_task(&mut self, no: ServerNo, id: &RequestId) {
        if let Some(Backend { rng, tasks, .. }) = self.backend(no)
            && rng.chance(600)
        {
            tasks.retain(|_, task| task.request.as_ref() != Some(id));
        }
    }

    /// Releases the tasks that a stream holds.
    pub(super) fn release(&mut self, no: ServerNo, stream: StreamId) {
        let Some(backend) = self.backend(no) else {
            return;
        };
        let held = backend.tasks.iter_mut().filter(|(_, task)| task.held == Some(stream));
        let released: Vec<TaskNo> = held
            .map(|(no, task)| {
                task.held = None;
                *no
            })
            .collect();
        for task in released {
            self.coverage.hit("senders: released");
            self.schedule_after(Duration::ZERO, SimEvent::BackendTask(no, task));
        }
    }

    /// Stops a backend whose session has closed.
    pub(super) fn end_backend(&mut self, no: ServerNo) {
        if let Some(backend) = self.backend(no) {
            backend.tasks.clear();
            backend.server_requests.clear();
        }
    }

    fn backend(&mut self, no: ServerNo) -> Option<&mut Backend> {
        self.servers.get_mut(no).map(|server| &mut server.backend)
    }
}

/// Returns the progress token of a request: its id.
pub(super) fn token_of(id: &RequestId) -> ProgressToken {
    match id.value() {
        IdValue::Integer(integer) => (*integer).into(),
        IdValue::Text(text) => ProgressToken::try_from(&**text).unwrap_or(0.into()),
    }
}
