//! Restoring a session from a snapshot, which is not trusted.

use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;

use super::{
    Phase, Session,
    connection::{Connection, ConnectionKey, Role, Subject},
    graveyard::Tombstone,
    pace::Pace,
    pressure::Held,
    requests::Question,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey},
};
use crate::{
    Actions, ConnectionId, Instant, Log, ProgressToken, RequestId, StreamId, ValidConfig,
    config::BYTES_MAX,
    queue::{Queue, Ticket},
    snapshot::{
        ConnectionState, PhaseState, QuestionState, RestoreError, Snapshot, StageState,
        StreamState, SubjectState, TombstoneState, Waiting, What,
    },
};

impl<M: Clone> Session<M> {
    /// Makes a session of a snapshot, at `now`.
    ///
    /// Whatever time was left when the snapshot was taken is left from `now` on.
    /// Every connection is gone: each is treated as closed, by id, with nothing
    /// more taken than was, and the actions of that are appended to `out`. Where
    /// `config` allows less than the session has, it keeps that, and gets no more.
    ///
    /// # Errors
    ///
    /// The snapshot contradicts itself: whoever stored it is at fault. It is
    /// checked to the extent that no later input can panic or leak.
    pub fn restore(
        snapshot: Snapshot<M>,
        config: ValidConfig,
        now: Instant,
        out: &mut Actions<M>,
    ) -> Result<Self, RestoreError> {
        let Snapshot { state, logs } = snapshot;
        let mut session = Self::new(config, now);
        if let PhaseState::Closed(reason) = state.phase {
            session.let_go(reason);
            return Ok(session);
        }
        session.note_initialized(state.initialized);
        session.was_used = state.was_used;
        session.retry_at = now.due(state.away.into());
        session.idle_due = now.due(state.idle.into());
        session.sequence = state.sequence;
        session.streams.next = state.next_stream;
        session.restore_streams(state.streams, logs)?;
        for connection in state.connections {
            session.restore_connection(connection)?;
        }
        session.restore_shadows(&state.shadows)?;
        session.restore_phase(state.phase)?;
        for question in state.questions {
            session.restore_question(question)?;
        }
        for token in state.tasks {
            session.restore_task(token)?;
        }
        session.restore_queues(state.queues, state.tombstones)?;
        session.check_streams_restored()?;
        session.detach_all(out);
        Ok(session)
    }

    fn restore_streams(
        &mut self,
        states: Vec<StreamState>,
        logs: Vec<(StreamId, Log<M>)>,
    ) -> Result<(), RestoreError> {
        ensure(states.len() == logs.len(), "as many logs as streams")?;
        let has_standalone = logs.first().is_some_and(|(id, _)| *id == StreamId::Standalone);
        ensure(has_standalone, "the standalone stream comes first")?;
        for (state, (id, log)) in states.into_iter().zip(logs) {
            self.held.extend(state.holds.then(|| Held::new(id)));
            let bytes = self.bytes.checked_add(log.bytes());
            self.bytes = bytes
                .filter(|bytes| *bytes <= BYTES_MAX)
                .ok_or(RestoreError("logs that fit into memory"))?;
            match id {
                StreamId::Standalone => {
                    let is_first = self.streams[STANDALONE].log.last() == 0;
                    ensure(is_first && self.streams.in_use == 0, "one standalone stream")?;
                    ensure(state.stage == StageState::Open, "the standalone stream is open")?;
                    ensure(state.requests.is_empty(), "the standalone stream has no request")?;
                    self.streams[STANDALONE] = restored(id, state, log, self.now);
                }
                StreamId::Request(number) => {
                    ensure(number < self.streams.next, "stream numbers that were given out")?;
                    ensure(self.streams.remains(number).is_none(), "one stream a number")?;
                    let is_retained = state.stage == StageState::Retained;
                    let key = self.streams.add(number, restored(id, state, log, self.now));
                    if is_retained {
                        self.streams.in_use -= 1;
                    }
                    self.restore_requests(key)?;
                }
            }
        }
        Ok(())
    }

    fn restore_requests(&mut self, key: StreamKey) -> Result<(), RestoreError> {
        let last = self.streams[key].log.last();
        let requests = self.streams[key].requests.clone();
        for request in requests {
            match request.outcome {
                Outcome::Pending => {
                    self.streams[key].pending += 1;
                    let earlier = self.requests.pending.insert(request.id, key);
                    ensure(earlier.is_none(), "one pending request an id")?;
                    if let Some(token) = request.token {
                        let earlier = self.requests.tokens.insert(token, key);
                        ensure(earlier.is_none(), "one pending request a progress token")?;
                    }
                }
                Outcome::Answered { index } => {
                    ensure((1..=last).contains(&index), "answers at indexes of their stream")?;
                }
                Outcome::Cancelled => {}
            }
        }
        Ok(())
    }

    fn restore_connection(&mut self, state: ConnectionState) -> Result<(), RestoreError> {
        let ConnectionState { id, subject, role, cursor, in_flight, format, was_taken, is_stalled } =
            state;
        ensure(self.connections.find(id).is_none(), "one connection an id")?;
        let (subject, is_fitting) = match subject {
            SubjectState::Initialize => (Subject::Initialize, role != Role::Shadows),
            SubjectState::Buried(id) => (Subject::Buried(id), role == Role::Drains),
            SubjectState::Stream(id) => {
                let key = self.streams.find(id).ok_or(RestoreError("connections of streams"))?;
                (Subject::Stream(key), role != Role::Shadows || key == STANDALONE)
            }
        };
        ensure(is_fitting, "roles that fit")?;
        let unknown = Pace::unknown(self.config.timeouts().stall);
        let mut connection = Connection::new(id, subject, role, cursor, unknown);
        connection.format = format;
        connection.was_taken = was_taken;
        connection.is_stalled = is_stalled;
        connection.since = self.now;
        let key = self.connections.add(connection);
        for sent in in_flight {
            self.add_in_flight(key, sent);
        }
        let Subject::Stream(stream) = subject else {
            return Ok(());
        };
        let place = match role {
            Role::Carries => &mut self.streams[stream].carrier,
            Role::Drains if stream != STANDALONE => &mut self.streams[stream].drain,
            Role::Drains | Role::Shadows => return Ok(()),
        };
        ensure(place.replace(key).is_none(), "one connection for each role")
    }

    fn restore_shadows(&mut self, shadows: &[ConnectionId]) -> Result<(), RestoreError> {
        for id in shadows {
            let key = self.connections.find(*id).ok_or(RestoreError("shadows are connections"))?;
            let is_new = !self.connections.shadows.contains(&key);
            let is_shadow = self.connections[key].role == Role::Shadows;
            ensure(is_new && is_shadow, "shadows are shadows once")?;
            self.connections.shadows.push(key);
        }
        let all = self.connections.iter();
        let count = all.filter(|(_, key)| self.connections[*key].role == Role::Shadows).count();
        ensure(count == shadows.len(), "all shadows are listed")?;
        let is_led = shadows.is_empty() || self.streams[STANDALONE].carrier.is_some();
        ensure(is_led, "shadows of a connection")
    }

    fn restore_phase(&mut self, phase: PhaseState) -> Result<(), RestoreError> {
        let awaits: Vec<ConnectionKey> = self
            .connections
            .iter()
            .map(|(_, key)| key)
            .filter(|key| self.connections[*key].subject == Subject::Initialize)
            .collect();
        ensure(awaits.len() <= 1, "one connection for initialize")?;
        let has_role = |role| awaits.iter().all(|key| self.connections[*key].role == role);
        self.phase = match phase {
            PhaseState::New => {
                ensure(self.connections.len() == 0, "no connection before initialize")?;
                Phase::New
            }
            PhaseState::Initializing { id, connection } => {
                let connection = self.connections.find(connection);
                let connection = connection.ok_or(RestoreError("a connection for initialize"))?;
                ensure(awaits.contains(&connection), "that connection is for initialize")?;
                ensure(has_role(Role::Carries), "an answer that is awaited")?;
                Phase::Initializing { id, connection }
            }
            PhaseState::Live => {
                ensure(has_role(Role::Drains), "an answer that came")?;
                Phase::Live
            }
            PhaseState::Closed(reason) => Phase::Closed(reason),
        };
        Ok(())
    }

    fn restore_question(&mut self, state: QuestionState) -> Result<(), RestoreError> {
        let QuestionState { id, stream, index } = state;
        ensure(self.questions.find(&id).is_none(), "one request of the backend an id")?;
        ensure(self.questions.at(stream, index).is_none(), "one request of the backend a place")?;
        self.questions.add(Question { id, stream, index, timer: None, was_delivered: false });
        Ok(())
    }

    fn restore_queues(
        &mut self,
        queues: Vec<Waiting>,
        tombstones: Vec<TombstoneState>,
    ) -> Result<(), RestoreError> {
        // The new session has begun to wait for `initialize`; this one may have left off.
        self.queues.clear(Queue::Initialize);
        let is_in_order = tombstones.is_sorted_by_key(|state| self.now.due(state.left.into()));
        ensure(is_in_order, "tombstones in the order in which they go")?;
        for state in tombstones {
            self.restore_tombstone(state)?;
        }
        for Waiting { what, left } in queues {
            self.restore_waiting(what, left)?;
        }
        let awaits_initialize = matches!(self.phase, Phase::New | Phase::Initializing { .. });
        let is_limited = self.queues.weight(Queue::Initialize) == 1;
        ensure(awaits_initialize == is_limited, "a deadline for initialize")
    }

    fn restore_tombstone(&mut self, state: TombstoneState) -> Result<(), RestoreError> {
        let TombstoneState { number, cancelled, last, missed, answers, left } = state;
        ensure(number < self.streams.next, "stream numbers that were given out")?;
        ensure(self.streams.remains(number).is_none(), "tombstones in place of streams")?;
        ensure(missed <= last, "tombstones that end")?;
        let indexes = answers.iter().map(|(index, _)| *index);
        let is_sorted = indexes.clone().is_sorted_by(|one, other| one < other);
        ensure(is_sorted, "answers in order")?;
        let mut indexes = indexes;
        ensure(indexes.all(|index| (1..=last).contains(&index)), "answers of their stream")?;
        let answers = SmallVec::from_vec(answers);
        let due = self.now.due(left.into());
        self.streams.add_tombstone(Tombstone { number, cancelled, last, missed, answers, due });
        Ok(())
    }

    fn restore_waiting(&mut self, what: What, left: Option<Duration>) -> Result<(), RestoreError> {
        let due = self.now.due(left.into());
        match what {
            What::Initialize => {
                self.queues.enter(Queue::Initialize, 0, due);
                Ok(())
            }
            What::Cancelled(id) => {
                ensure(self.requests.pending.get(&id).is_none(), "reserved ids are not pending")?;
                let queues = &mut self.queues;
                let cancelled = &mut self.requests.cancelled;
                let is_new = cancelled.add(id, |key| queues.enter(Queue::Cancelled, key, due));
                ensure(is_new, "ids are reserved once")
            }
            What::Listen(id) => self.restore_timer(&id, Queue::Listen, due),
            What::Answer(id) => self.restore_timer(&id, Queue::Answer, due),
            What::Spent(id) => {
                let key = self.streams.find(id).ok_or(RestoreError("streams have events"))?;
                let ticket = self.queues.enter(Queue::Spent, key.0, Instant::MAX);
                let earlier = self.streams[key].spent.replace(ticket);
                ensure(earlier.is_none(), "streams have taken events once")
            }
            What::Eventful(id) => {
                let key = self.streams.find(id).ok_or(RestoreError("streams have events"))?;
                let ticket = self.queues.enter(Queue::Eventful, key.0, Instant::MAX);
                let earlier = self.streams[key].eventful.replace(ticket);
                ensure(earlier.is_none(), "streams have events once")
            }
            What::Reservation(number) => self.restore_stage(number, Queue::Reservation, due),
            What::Orphan(number) => self.restore_stage(number, Queue::Orphan, due),
            What::Untaken(number) => self.restore_stage(number, Queue::Untaken, due),
            What::Taken(number) => self.restore_stage(number, Queue::Taken, due),
        }
    }

    /// Gives a request of the backend the deadline of what it waits for.
    fn restore_timer(
        &mut self,
        id: &RequestId,
        queue: Queue,
        due: Instant,
    ) -> Result<(), RestoreError> {
        let wrong = RestoreError("requests of the backend that wait");
        let key = self.questions.find(id).ok_or(wrong)?;
        let question = self.questions.get_mut(key).ok_or(wrong)?;
        question.was_delivered = queue == Queue::Answer;
        let earlier = question.timer.replace(self.queues.enter(queue, key.0, due));
        ensure(earlier.is_none(), "requests of the backend wait once")
    }

    fn restore_task(&mut self, token: ProgressToken) -> Result<(), RestoreError> {
        let is_free = !self.requests.tokens.contains_key(&token);
        ensure(is_free && !self.requests.tasks.contains(&token), "one task a progress token")?;
        self.requests.tasks.add(token, usize::MAX);
        Ok(())
    }

    /// Gives a stream the deadline of its stage.
    fn restore_stage(
        &mut self,
        number: u64,
        queue: Queue,
        due: Instant,
    ) -> Result<(), RestoreError> {
        let wrong = RestoreError("deadlines that fit their streams");
        let key = self.streams.find(StreamId::Request(number)).ok_or(wrong)?;
        let weight = self.streams[key].weight();
        let place = match (&mut self.streams[key].stage, queue) {
            (Stage::Reserved { expiry }, Queue::Reservation) => expiry,
            (Stage::Open { orphan }, Queue::Orphan) => orphan.get_or_insert(Ticket::NONE),
            (Stage::Retained { queue }, Queue::Untaken | Queue::Taken) => queue,
            (
                Stage::Reserved { .. }
                | Stage::Open { .. }
                | Stage::Finishing { .. }
                | Stage::Retained { .. },
                _,
            ) => return Err(wrong),
        };
        ensure(*place == Ticket::NONE, "streams have one deadline")?;
        *place = self.queues.enter_weighing(queue, key.0, due, weight);
        Ok(())
    }

    /// Checks each stream against what was found about it.
    fn check_streams_restored(&self) -> Result<(), RestoreError> {
        let standalone = &self.streams[STANDALONE];
        let is_marked = standalone.eventful.is_some() != standalone.log.is_empty();
        ensure(is_marked, "the standalone stream is known for its events")?;
        let is_marked = standalone.spent.is_some() == standalone.is_spent();
        ensure(is_marked, "the standalone stream is known for its taken events")?;
        for key in self.streams.request_streams() {
            let stream = &self.streams[key];
            let is_carried = stream.carrier.is_some();
            let has_pending = stream.pending > 0;
            ensure(stream.eventful.is_some() != stream.log.is_empty(), "streams with events")?;
            ensure(stream.spent.is_some() == stream.is_spent(), "streams with taken events")?;
            let is_fitting = match stream.stage {
                Stage::Reserved { expiry } => {
                    is_carried && !has_pending && expiry != Ticket::NONE && stream.log.last() == 0
                }
                Stage::Open { orphan } => has_pending && is_carried == orphan.is_none(),
                Stage::Finishing { .. } => is_carried && !has_pending,
                Stage::Retained { queue } => !is_carried && !has_pending && queue != Ticket::NONE,
            };
            ensure(is_fitting, "streams that fit their stage")?;
        }
        Ok(())
    }

    /// Treats every connection as closed.
    fn detach_all(&mut self, out: &mut Actions<M>) {
        let connections: Vec<ConnectionId> = self.connections().collect();
        for connection in connections {
            if self.close_reason().is_some() {
                return;
            }
            self.gone(connection, None, out);
            self.stay_awake();
            self.settle(out);
        }
    }
}

fn restored<M>(id: StreamId, saved: StreamState, log: Log<M>, now: Instant) -> Stream<M> {
    let StreamState { stage, requests, taken, holds, silence, is_primed, away } = saved;
    let stage = match stage {
        StageState::Reserved => Stage::Reserved { expiry: Ticket::NONE },
        StageState::Open => Stage::Open { orphan: None },
        StageState::Finishing { exhumed } => Stage::Finishing { exhumed },
        StageState::Retained => Stage::Retained { queue: Ticket::NONE },
    };
    let requests = SmallVec::from_vec(requests);
    let retry_at = now.due(away.into());
    let earlier_silence = silence;
    let stream = Stream::new(id, stage, log);
    Stream { requests, taken, holds, earlier_silence, is_primed, retry_at, ..stream }
}

fn ensure(holds: bool, what: &'static str) -> Result<(), RestoreError> {
    if holds { Ok(()) } else { Err(RestoreError(what)) }
}
