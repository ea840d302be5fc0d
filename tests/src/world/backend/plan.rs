//! Plans: what a backend will say about a request, and when.

use std::collections::VecDeque;
use std::time::Duration;

use rejoin_core::{Method, ProgressToken, RequestId};

use super::Task;
use crate::world::World;
use crate::world::agenda::{Happening, ServerNo};
use crate::world::chance::Chance;
use crate::world::faults::{Fault, Faults};
use crate::world::knobs::LATEST;
use crate::world::tally::Tally;

/// Something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utterance {
    /// The answer to `initialize`.
    Initialized,
    /// Progress of the request.
    Progress,
    /// A log message.
    Log,
    /// Another notification.
    Note,
    /// A request to the client.
    Question,
    /// The answer.
    Answer,
    /// One more answer to the same request.
    Again,
    /// An error as the answer.
    Failure,
    /// An answer to a request that nobody made.
    Stray,
    /// A wish to have the connection closed.
    Poll,
    /// The last breath.
    Die,
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

impl World {
    /// Plans what to say about a request; `None` is what is about no request.
    pub(super) fn plan(
        &mut self,
        no: ServerNo,
        request: Option<RequestId>,
        method: Method,
        token: Option<ProgressToken>,
    ) {
        let faults = self.faults.clone();
        let Some(backend) = self.servers.get_mut(no).map(|server| &mut server.backend) else {
            return;
        };
        let (luck, tally) = (&mut backend.luck, &mut self.tally);
        let mut left = VecDeque::new();
        match (&request, method) {
            (Some(_), Method::Initialize { .. }) => {
                if luck.strikes(faults.rate(Fault::Never)) {
                    tally.struck(Fault::Never);
                } else {
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
            (Some(_), _) => plan_answer(&mut left, luck, &faults, tally),
            (None, _) => plan_talk(&mut left, luck, &faults, tally),
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
}

/// Plans what to say about no request, and after how long each.
pub fn plan_talk(
    left: &mut VecDeque<(Duration, Utterance)>,
    luck: &mut Chance,
    faults: &Faults,
    tally: &mut Tally,
) {
    plan_words(left, luck, faults, tally, &TALK);
}

fn plan_words(
    left: &mut VecDeque<(Duration, Utterance)>,
    luck: &mut Chance,
    faults: &Faults,
    tally: &mut Tally,
    words: &[Utterance],
) {
    let (count, longest) = if luck.strikes(faults.rate(Fault::Burst)) {
        tally.struck(Fault::Burst);
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

/// Plans what to say about a request, and after how long each.
pub fn plan_answer(
    left: &mut VecDeque<(Duration, Utterance)>,
    luck: &mut Chance,
    faults: &Faults,
    tally: &mut Tally,
) {
    if luck.strikes(800) {
        plan_words(left, luck, faults, tally, &WORK);
    }
    if luck.strikes(faults.rate(Fault::Dies)) {
        left.push_back((luck.millis(0, 100), Utterance::Die));
    }
    if luck.strikes(faults.rate(Fault::Unknown)) {
        left.push_back((luck.millis(0, 100), Utterance::Stray));
    }
    if luck.strikes(faults.rate(Fault::Never)) {
        tally.struck(Fault::Never);
        return;
    }
    let delay = if luck.strikes(faults.rate(Fault::Late)) {
        tally.struck(Fault::Late);
        luck.duration(Duration::from_secs(3), LATEST)
    } else {
        luck.millis(0, 800)
    };
    let answer = if luck.strikes(100) { Utterance::Failure } else { Utterance::Answer };
    left.push_back((delay, answer));
    if luck.strikes(faults.rate(Fault::Twice)) {
        left.push_back((luck.millis(0, 2_000), Utterance::Again));
    }
    if luck.strikes(100) {
        // It speaks of what is over.
        left.push_back((luck.millis(0, 500), Utterance::Progress));
    }
}
