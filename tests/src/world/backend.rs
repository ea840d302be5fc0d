//! Backends: they hear requests, and say what they have planned about each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_core::{
    Head, IdValue, Initialized, Input, Method, Notification, Pressure, ProgressToken, Rejection,
    RequestId, StreamId,
};

use super::World;
use super::agenda::{Happening, ServerNo, TaskNo};
use super::chance::Chance;
use super::faults::Fault;
use super::knobs::LATEST_SECS;
use super::witness::check_question;

/// What speaks for one server.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) luck: Chance,
    tasks: BTreeMap<TaskNo, Task>,
    /// What it asked the client, and waits for.
    pub(super) asked: BTreeSet<RequestId>,
    next_task: TaskNo,
    next_question: i64,
    /// Whether it died, or its session is closed.
    pub(super) is_gone: bool,
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

/// Something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Utterance {
    Initialized,
    Progress,
    Log,
    Note,
    Question,
    Answer,
    Failure,
    /// An answer to a request that nobody made.
    Stray,
    /// A wish to have the connection closed.
    Poll,
    /// The last breath.
    Die,
}

impl Backend {
    pub(super) fn new(luck: Chance) -> Self {
        Self {
            luck,
            tasks: BTreeMap::new(),
            asked: BTreeSet::new(),
            next_task: 0,
            next_question: 0,
            is_gone: false,
        }
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
            backend.is_gone = true;
            backend.tasks.clear();
            backend.asked.clear();
        }
    }

    fn backend(&mut self, no: ServerNo) -> Option<&mut Backend> {
        self.servers.get_mut(no).map(|server| &mut server.backend)
    }

    /// Plans what to say about a request; `None` is what is about no request.
    fn plan(
        &mut self,
        no: ServerNo,
        request: Option<RequestId>,
        method: Method,
        token: Option<ProgressToken>,
    ) {
        let faults = self.faults.clone();
        let Some(backend) = self.backend(no) else {
            return;
        };
        let luck = &mut backend.luck;
        let mut left = VecDeque::new();
        match (&request, method) {
            (Some(_), Method::Initialize { .. }) => {
                if !luck.strikes(faults.rate(Fault::Never)) {
                    let dies = luck.strikes(faults.rate(Fault::Dies));
                    let is_error = luck.strikes(faults.rate(Fault::Unknown));
                    let what = match (dies, is_error) {
                        (true, _) => Utterance::Die,
                        (_, true) => Utterance::Failure,
                        _ => Utterance::Initialized,
                    };
                    left.push_back((luck.millis(0, 300), what));
                }
            }
            (Some(_), _) => plan_answer(&mut left, luck, &faults),
            (None, _) => plan_talk(&mut left, luck, &faults, &TALK),
        }
        let is_impolite = luck.strikes(faults.rate(Fault::Impolite));
        let task = Task { request, token, left, held: None, is_impolite };
        let first = task.left.front().map(|(delay, _)| *delay);
        let task_no = backend.next_task;
        backend.next_task += 1;
        if let Some(delay) = first {
            backend.tasks.insert(task_no, task);
            self.later(delay, Happening::Say(no, task_no));
        }
    }

    /// Says the next of what a task has to say.
    pub(super) fn say(&mut self, no: ServerNo, task_no: TaskNo) -> Result<(), String> {
        let Some(backend) = self.backend(no) else {
            return Ok(());
        };
        let Some(task) = backend.tasks.get_mut(&task_no).filter(|task| task.held.is_none()) else {
            return Ok(());
        };
        let (request, token) = (task.request.clone(), task.token.clone());
        let is_impolite = task.is_impolite;
        let Some((_, what)) = task.left.pop_front() else {
            backend.tasks.remove(&task_no);
            if request.is_none() && !self.is_healed {
                self.plan(no, None, Method::Other, None);
            }
            return Ok(());
        };
        let held = self.utter(no, request.as_ref(), token, what)?;
        let is_held = held.is_some() && !is_impolite;
        let Some(task) = self.backend(no).and_then(|backend| backend.tasks.get_mut(&task_no))
        else {
            return Ok(());
        };
        if is_held {
            task.held = held;
            self.tally.add("senders: held up");
            return Ok(());
        }
        let delay = task.left.front().map_or(Duration::from_millis(100), |(delay, _)| *delay);
        self.later(delay, Happening::Say(no, task_no));
        Ok(())
    }

    /// Says something. Returns the stream whose reader asks to wait.
    fn utter(
        &mut self,
        no: ServerNo,
        request: Option<&RequestId>,
        token: Option<ProgressToken>,
        what: Utterance,
    ) -> Result<Option<StreamId>, String> {
        let head = match what {
            Utterance::Die => {
                let _ = self.tell_server(no, Input::BackendGone)?;
                return Ok(None);
            }
            Utterance::Poll => return self.poll(no, request).map(|()| None),
            Utterance::Initialized
            | Utterance::Progress
            | Utterance::Log
            | Utterance::Note
            | Utterance::Question
            | Utterance::Answer
            | Utterance::Failure
            | Utterance::Stray => self.head_of(no, request, token, what),
        };
        let bytes = self.size(no);
        let message = self.messages.say(no, head.clone(), bytes);
        let related = request
            .cloned()
            .filter(|_| self.backend(no).is_some_and(|backend| backend.luck.strikes(850)));
        let is_initialized = what == Utterance::Initialized;
        let mut asked = crate::laws::request_id(&head).cloned();
        if let (Some(id), Some(backend)) = (&asked, self.backend(no)) {
            // It may fail at once, which must find it here. Or it is there already.
            let is_new = backend.asked.insert(id.clone());
            asked = asked.filter(|_| is_new);
        }
        match self.tell_server(no, Input::Backend { message, related })? {
            Ok(pressure) => {
                if let Some(id) = asked {
                    let patience = self.knobs.backend_patience;
                    self.later(patience, Happening::Withdraw(no, id));
                }
                if is_initialized {
                    self.plan(no, None, Method::Other, None);
                }
                Ok(match pressure {
                    Pressure::Hold(stream) => Some(stream),
                    Pressure::None => None,
                })
            }
            Err(rejection) => {
                if let Some(id) = asked {
                    self.forget_question(no, &id);
                }
                match rejection {
                    Rejection::Backend(_) | Rejection::Closed(_) => Ok(None),
                    Rejection::Client(_) | Rejection::Caller(_) => {
                        Err(format!("a message of the backend was refused: {rejection}"))
                    }
                }
            }
        }
    }

    fn head_of(
        &mut self,
        no: ServerNo,
        request: Option<&RequestId>,
        token: Option<ProgressToken>,
        what: Utterance,
    ) -> Head {
        let Some(server) = self.servers.get_mut(no) else {
            return Head::Notification(Notification::Other);
        };
        let luck = &mut server.backend.luck;
        let id = request.cloned().unwrap_or(0.into());
        match what {
            Utterance::Initialized => {
                let logging = luck.strikes(500);
                Head::Response { id, initialized: Initialized { version: server.version, logging } }
            }
            Utterance::Answer => Head::Response { id, initialized: Initialized::default() },
            Utterance::Failure => Head::Error { id: Some(id) },
            Utterance::Stray => {
                let id = (!luck.strikes(200)).then(|| (-7).into());
                Head::Error { id }
            }
            Utterance::Progress => Head::Notification(match token {
                Some(token) => Notification::Progress { token },
                None => Notification::Other,
            }),
            Utterance::Log => Head::Notification(Notification::Log),
            Utterance::Question => {
                server.backend.next_question += 1;
                let mut n = server.backend.next_question;
                if luck.strikes(20) {
                    n -= 1;
                }
                Head::Request { id: n.into(), method: Method::Other, progress_token: None }
            }
            Utterance::Note | Utterance::Poll | Utterance::Die => {
                Head::Notification(Notification::Other)
            }
        }
    }

    /// Returns the size of a message, which is too large now and then.
    fn size(&mut self, no: ServerNo) -> usize {
        let huge = self.faults.rate(Fault::Huge);
        let most = self.knobs.config.message_bytes_max;
        let Some(luck) = self.backend(no).map(|backend| &mut backend.luck) else {
            return 0;
        };
        if luck.strikes(huge) { most.saturating_add(1) } else { luck.size(0, 300) }
    }

    /// Has the connection of a request, or of the standalone stream, closed.
    fn poll(&mut self, no: ServerNo, request: Option<&RequestId>) -> Result<(), String> {
        let Some(server) = self.servers.get_mut(no) else {
            return Ok(());
        };
        let stream = match request {
            Some(id) => server.view.stream_of(id).unwrap_or(StreamId::Request(0)),
            None => StreamId::Standalone,
        };
        let luck = &mut server.backend.luck;
        let retry = luck.strikes(600).then(|| luck.millis(0, 400));
        match self.tell_server(no, Input::CloseStream { stream, retry })? {
            Ok(_) | Err(Rejection::Backend(_) | Rejection::Closed(_)) => Ok(()),
            Err(rejection) => Err(format!("a wish of the backend was refused: {rejection}")),
        }
    }

    /// Takes a question back that nobody has answered.
    pub(super) fn withdraw(&mut self, no: ServerNo, request: RequestId) -> Result<(), String> {
        if !self.forget_question(no, &request) {
            return Ok(());
        }
        self.tally.add("questions: withdrawn");
        if let Some(server) = self.servers.get(no) {
            self.suspect = Some(no);
            check_question(&server.truth, &server.view, &server.taken, &request)?;
        }
        let head = Head::Notification(Notification::Cancelled { request });
        let message = self.messages.say(no, head, 60);
        self.tell_server(no, Input::Backend { message, related: None }).map(|_| ())
    }
}

/// What is said of a request, and of none.
const WORK: [Utterance; 6] = [
    Utterance::Progress,
    Utterance::Progress,
    Utterance::Progress,
    Utterance::Log,
    Utterance::Note,
    Utterance::Question,
];
const TALK: [Utterance; 4] =
    [Utterance::Note, Utterance::Note, Utterance::Log, Utterance::Question];

fn plan_talk(
    left: &mut VecDeque<(Duration, Utterance)>,
    luck: &mut Chance,
    faults: &super::faults::Faults,
    words: &[Utterance],
) {
    let (count, longest) = if luck.strikes(faults.rate(Fault::Burst)) {
        (luck.size(8, 40), 1)
    } else {
        (luck.size(0, 3), if words.len() == TALK.len() { 4_000 } else { 600 })
    };
    for _ in 0..count {
        let what = luck.pick(words).unwrap_or(Utterance::Note);
        left.push_back((luck.millis(0, longest), what));
    }
    if luck.strikes(faults.rate(Fault::Polling)) {
        left.push_back((luck.millis(0, longest), Utterance::Poll));
    }
    if left.is_empty() {
        left.push_back((luck.millis(0, 1_000), Utterance::Note));
    }
}

fn plan_answer(
    left: &mut VecDeque<(Duration, Utterance)>,
    luck: &mut Chance,
    faults: &super::faults::Faults,
) {
    if luck.strikes(800) {
        plan_talk(left, luck, faults, &WORK);
    }
    if luck.strikes(faults.rate(Fault::Dies)) {
        left.push_back((luck.millis(0, 100), Utterance::Die));
    }
    if luck.strikes(faults.rate(Fault::Unknown)) {
        left.push_back((luck.millis(0, 100), Utterance::Stray));
    }
    if luck.strikes(faults.rate(Fault::Never)) {
        return;
    }
    let delay = if luck.strikes(faults.rate(Fault::Late)) {
        luck.millis(3_000, LATEST_SECS * 1_000)
    } else {
        luck.millis(0, 800)
    };
    let answer = if luck.strikes(100) { Utterance::Failure } else { Utterance::Answer };
    left.push_back((delay, answer));
    if luck.strikes(faults.rate(Fault::Twice)) {
        left.push_back((luck.millis(0, 2_000), Utterance::Answer));
    }
    if luck.strikes(100) {
        // It speaks of what is over.
        left.push_back((luck.millis(0, 500), Utterance::Progress));
    }
}

/// Returns the token of a request: its id.
pub(super) fn token(id: &RequestId) -> ProgressToken {
    match id.value() {
        IdValue::Integer(integer) => (*integer).into(),
        IdValue::Text(text) => ProgressToken::try_from(&**text).unwrap_or(0.into()),
    }
}
