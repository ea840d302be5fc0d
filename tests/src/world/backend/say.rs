//! Saying: a backend says what it has planned, and waits for readers that trail.

use std::time::Duration;

use rejoin_core::{
    ApiMisuse, Backpressure, Head, Initialized, Input, Method, Notification, ProgressToken,
    Rejection, RequestId, StreamId,
};

use super::plan::Utterance;
use crate::laws::request_id;
use crate::world::World;
use crate::world::agenda::{Happening, ServerNo, TaskNo};
use crate::world::faults::Fault;
use crate::world::witness::check_question;

impl World {
    /// Says the next of what a task has to say.
    pub(in crate::world) fn say(&mut self, no: ServerNo, task_no: TaskNo) -> Result<(), String> {
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
        if what == Utterance::Answer && backend.is_overtaking(task_no) {
            self.tally.add("answers: out of order");
        }
        let held = self.utter(no, request.as_ref(), token, what)?;
        let is_held = held.is_some() && !is_impolite;
        if held.is_some() && is_impolite {
            self.tally.struck(Fault::Impolite);
        }
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
                if self.tell_server(no, Input::BackendGone)?.is_ok() {
                    self.tally.struck(Fault::Dies);
                }
                return Ok(None);
            }
            Utterance::Poll => return self.poll(no, request).map(|()| None),
            Utterance::Initialized
            | Utterance::Progress
            | Utterance::Log
            | Utterance::Note
            | Utterance::Question
            | Utterance::Answer
            | Utterance::Again
            | Utterance::Failure
            | Utterance::Stray => self.head_of(no, request, token, what),
        };
        let bytes = self.size(no);
        let message = self.messages.say(no, head.clone(), bytes);
        let related = request
            .cloned()
            .filter(|_| self.backend(no).is_some_and(|backend| backend.luck.strikes(850)));
        let is_initialized = what == Utterance::Initialized;
        let mut asked = request_id(&head).cloned();
        if let (Some(id), Some(backend)) = (&asked, self.backend(no)) {
            // It may fail at once, which must find it here. Or it is there already.
            let is_new = backend.asked.insert(id.clone());
            asked = asked.filter(|_| is_new);
        }
        match self.tell_server(no, Input::BackendMessage { message, related })? {
            Ok(pressure) => {
                if let Some(id) = asked {
                    let patience = self.knobs.backend_patience;
                    self.later(patience, Happening::Withdraw(no, id));
                }
                if what == Utterance::Again {
                    self.tally.struck(Fault::Twice);
                } else if what == Utterance::Stray {
                    self.tally.struck(Fault::Unknown);
                }
                if is_initialized {
                    self.plan(no, None, Method::Other, None);
                }
                Ok(match pressure {
                    Backpressure::Hold(stream) => Some(stream),
                    Backpressure::None => None,
                })
            }
            Err(rejection) => {
                if let Some(id) = asked {
                    self.forget_question(no, &id);
                }
                match rejection {
                    Rejection::Backend(_) | Rejection::Closed(_) => Ok(None),
                    Rejection::Client(_) | Rejection::ApiMisuse(_) => {
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
                Head::Response {
                    id,
                    initialized: Initialized { version: server.version, logging },
                    creates_task: false,
                }
            }
            Utterance::Answer | Utterance::Again => {
                Head::Response { id, initialized: Initialized::default(), creates_task: false }
            }
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
                let next: RequestId = server.backend.next_question.into();
                // Now and then, one that is in use.
                let used = server.backend.asked.first().filter(|_| luck.strikes(20));
                let id = used.cloned().unwrap_or(next);
                Head::Request { id, method: Method::Other, progress_token: None }
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
        if luck.strikes(huge) {
            self.tally.struck(Fault::Huge);
            return most.saturating_add(1);
        }
        luck.size(0, 300)
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
        match self.tell_server(no, Input::Disconnect { stream, retry })? {
            Ok(_) => {
                self.tally.struck(Fault::Polling);
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
            Err(rejection) => Err(format!("a wish of the backend was refused: {rejection}")),
        }
    }

    /// Takes a question back that nobody has answered.
    pub(in crate::world) fn withdraw(
        &mut self,
        no: ServerNo,
        request: RequestId,
    ) -> Result<(), String> {
        if !self.forget_question(no, &request) {
            return Ok(());
        }
        self.tally.add("questions: withdrawn");
        self.suspect = Some(no);
        if let Some(server) = self.servers.get(no) {
            let alone = |stream| {
                let since = server.alone.get(&stream)?;
                // It was asked so long ago.
                Some(self.now.since(*since).min(self.knobs.backend_patience))
            };
            let waits = |stream| server.view.closed.is_none() && server.view.log(stream).is_some();
            let listen = self.config.delivery_timeout;
            if let Some((stream, index)) = server.truth.place_of(&request)
                && server.taken.get(&stream).is_none_or(|taken| *taken < index)
            {
                check_question(&request, waits(stream), alone(stream), listen)?;
            }
        }
        let head = Head::Notification(Notification::Cancelled { request });
        let message = self.messages.say(no, head, 60);
        self.tell_server(no, Input::BackendMessage { message, related: None }).map(|_| ())
    }
}
