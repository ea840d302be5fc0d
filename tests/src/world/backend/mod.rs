//! Backends: they hear requests, and say what they have planned about each.

mod plan;
mod say;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_core::{Head, IdValue, Notification, ProgressToken, RequestId, StreamId};

pub use self::plan::{Utterance, plan_answer, plan_talk};
use super::World;
use super::agenda::{Happening, ServerNo, TaskNo};
use super::chance::Chance;

/// What speaks for one server.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) luck: Chance,
    tasks: BTreeMap<TaskNo, Task>,
    /// What it asked the client, and waits for.
    pub(super) asked: BTreeSet<RequestId>,
    next_task: TaskNo,
    next_question: i64,
}

/// All that is still to be said about one request, or about none.
#[derive(Clone, Debug)]
struct Task {
    request: Option<RequestId>,
    /// Under which it reports progress.
    token: Option<ProgressToken>,
    left: VecDeque<(Duration, Utterance)>,
    /// The stream whose reader holds it up.
    held: Option<StreamId>,
    /// Whether it does not wait for readers.
    is_impolite: bool,
}

impl Backend {
    pub(super) fn new(luck: Chance) -> Self {
        Self {
            luck,
            tasks: BTreeMap::new(),
            asked: BTreeSet::new(),
            next_task: 0,
            next_question: 0,
        }
    }

    /// Returns whether a request is not answered yet that was made before that of a task.
    fn is_overtaking(&self, no: TaskNo) -> bool {
        let earlier = self.tasks.range(..no).filter(|(_, task)| task.request.is_some());
        let mut left = earlier.flat_map(|(_, task)| &task.left);
        left.any(|(_, what)| *what == Utterance::Answer)
    }

    /// Returns whether somebody waits for a reader.
    pub(super) fn is_held_up(&self) -> bool {
        self.tasks.values().any(|task| task.held.is_some())
    }
}

impl World {
    /// Lets a backend hear a message of its client.
    pub(super) fn hear(&mut self, no: ServerNo, body: u64) {
        let Some(head) = self.messages.get(body).map(|said| said.head.clone()) else {
            return;
        };
        match head {
            Head::Request { id, method, progress_token } => {
                self.plan(no, Some(id), method, progress_token);
            }
            Head::Notification(Notification::Cancelled { request }) => self.drop_task(no, &request),
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                if self.forget_question(no, &id) {
                    self.tally.add("questions: answered");
                }
            }
            Head::Notification(_) | Head::Error { id: None } => {}
        }
    }

    /// Notes that a question waits no longer.
    pub(super) fn forget_question(&mut self, no: ServerNo, id: &RequestId) -> bool {
        self.servers.get_mut(no).is_some_and(|server| server.backend.asked.remove(id))
    }

    /// Stops to work on a request, or goes on as if nothing was said.
    pub(super) fn drop_task(&mut self, no: ServerNo, id: &RequestId) {
        if let Some(Backend { luck, tasks, .. }) = self.backend(no)
            && luck.strikes(600)
        {
            tasks.retain(|_, task| task.request.as_ref() != Some(id));
        }
    }

    /// Lets whoever waited for the readers of a stream go on.
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
            self.tally.add("senders: let go on");
            self.later(Duration::ZERO, Happening::Say(no, task));
        }
    }

    /// Ends a backend with its session.
    pub(super) fn end_backend(&mut self, no: ServerNo) {
        if let Some(backend) = self.backend(no) {
            backend.tasks.clear();
            backend.asked.clear();
        }
    }

    fn backend(&mut self, no: ServerNo) -> Option<&mut Backend> {
        self.servers.get_mut(no).map(|server| &mut server.backend)
    }
}

/// Returns the token of a request: its id.
pub(super) fn token(id: &RequestId) -> ProgressToken {
    match id.value() {
        IdValue::Integer(integer) => (*integer).into(),
        IdValue::Text(text) => ProgressToken::try_from(&**text).unwrap_or(0.into()),
    }
}
