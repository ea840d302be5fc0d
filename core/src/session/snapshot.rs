//! Taking a snapshot.

use alloc::vec::Vec;
use core::time::Duration;

use super::{
    Phase, Session,
    connection::{ConnectionKey, Subject},
    stream::{STANDALONE, Stage, StreamKey},
};
use crate::{
    ConnectionId, Instant,
    queue::Queue,
    snapshot::{
        ConnectionState, Format, PhaseState, QuestionState, Snapshot, StageState, State,
        StreamState, SubjectState, TombstoneState, Waiting, What,
    },
};

/// The queues that are about more than connections, which a restored session has none of.
const QUEUES: [Queue; 10] = [
    Queue::Initialize,
    Queue::Reservation,
    Queue::Listen,
    Queue::Answer,
    Queue::Orphan,
    Queue::Cancelled,
    Queue::Untaken,
    Queue::Taken,
    Queue::Spent,
    Queue::Eventful,
];

impl<M: Clone> Session<M> {
    /// Takes a snapshot, as of the last input: what is left of a timeout is counted from
    /// there. So tell the time by an [`Input::Tick`](crate::Input::Tick) before.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<M> {
        let streams: Vec<StreamKey> = match self.phase {
            Phase::Closed(_) => Vec::new(),
            Phase::New | Phase::Initializing { .. } | Phase::Live => {
                core::iter::once(STANDALONE).chain(self.streams.request_streams()).collect()
            }
        };
        let logs = streams.iter().map(|key| &self.streams[*key]);
        Snapshot {
            logs: logs.map(|stream| (stream.id, stream.log.clone())).collect(),
            state: State {
                format: Format,
                phase: self.phase_state(),
                initialized: self.initialized,
                was_used: self.was_used,
                away: left(self.retry_at, self.now),
                idle: left(self.idle_due, self.now),
                sequence: self.sequence,
                next_stream: self.streams.next,
                streams: streams.iter().map(|key| self.stream_state(*key)).collect(),
                tombstones: self.tombstone_states(),
                connections: self
                    .connections
                    .iter()
                    .map(|(id, key)| self.connection_state(id, key))
                    .collect(),
                shadows: self
                    .connections
                    .shadows
                    .iter()
                    .map(|shadow| self.connections[*shadow].id)
                    .collect(),
                questions: self
                    .questions
                    .iter()
                    .map(|question| QuestionState {
                        id: question.id.clone(),
                        stream: question.stream,
                        index: question.index,
                    })
                    .collect(),
                tasks: self.requests.tasks.iter().cloned().collect(),
                queues: QUEUES.into_iter().flat_map(|queue| self.waiting(queue)).collect(),
            },
        }
    }

    fn phase_state(&self) -> PhaseState {
        match &self.phase {
            Phase::New => PhaseState::New,
            Phase::Initializing { id, connection } => PhaseState::Initializing {
                id: id.clone(),
                connection: self.connections[*connection].id,
            },
            Phase::Live => PhaseState::Live,
            Phase::Closed(reason) => PhaseState::Closed(*reason),
        }
    }

    fn stream_state(&self, key: StreamKey) -> StreamState {
        let stream = &self.streams[key];
        StreamState {
            stage: match stream.stage {
                Stage::Reserved { .. } => StageState::Reserved,
                Stage::Open { .. } => StageState::Open,
                Stage::Finishing { exhumed } => StageState::Finishing { exhumed },
                Stage::Retained { .. } => StageState::Retained,
            },
            requests: stream.requests.to_vec(),
            taken: stream.taken,
            holds: stream.holds,
            silence: self.silence(key),
            is_primed: stream.is_primed,
            away: left(stream.retry_at, self.now),
        }
    }

    /// Returns for how long the readers of a stream were silent, if the present one is the last.
    fn silence(&self, key: StreamKey) -> Duration {
        let stream = &self.streams[key];
        let carrier = stream.carrier.map(|carrier| self.connections[carrier].silence(self.now));
        stream.earlier_silence.saturating_add(carrier.unwrap_or_default())
    }

    fn tombstone_states(&self) -> Vec<TombstoneState> {
        let tombstones = self.streams.tombstones();
        tombstones
            .map(|tombstone| TombstoneState {
                number: tombstone.number,
                cancelled: tombstone.cancelled,
                last: tombstone.last,
                missed: tombstone.missed,
                answers: tombstone.answers.to_vec(),
                left: left(tombstone.due, self.now),
            })
            .collect()
    }

    fn connection_state(&self, id: ConnectionId, key: ConnectionKey) -> ConnectionState {
        let connection = &self.connections[key];
        ConnectionState {
            id,
            subject: match connection.subject {
                Subject::Initialize => SubjectState::Initialize,
                Subject::Stream(stream) => SubjectState::Stream(self.streams[stream].id),
                Subject::Buried(id) => SubjectState::Buried(id),
            },
            role: connection.role,
            cursor: connection.cursor,
            in_flight: connection.in_flight.iter().copied().collect(),
            format: connection.format,
            was_taken: connection.was_taken,
            is_stalled: connection.is_stalled,
        }
    }

    fn waiting(&self, queue: Queue) -> impl Iterator<Item = Waiting> {
        self.queues.iter(queue).filter_map(move |(key, due)| {
            let stream = || self.streams[StreamKey(key)].id;
            let what = match queue {
                Queue::Initialize => What::Initialize,
                Queue::Reservation => What::Reservation(stream().number()?),
                Queue::Listen => What::Listen(self.questions.id(key)?.clone()),
                Queue::Answer => What::Answer(self.questions.id(key)?.clone()),
                Queue::Orphan => What::Orphan(stream().number()?),
                Queue::Cancelled => What::Cancelled(self.requests.cancelled.id(key)?.clone()),
                Queue::Untaken => What::Untaken(stream().number()?),
                Queue::Taken => What::Taken(stream().number()?),
                Queue::Spent => What::Spent(stream()),
                Queue::Eventful => What::Eventful(stream()),
                Queue::Hold
                | Queue::StallLongest
                | Queue::Stall
                | Queue::StallShortest
                | Queue::StallLimit => return None,
            };
            Some(Waiting { what, left: due.map(|due| due.since(self.now)) })
        })
    }
}

/// Returns what is left until `then`; `None` is for ever.
fn left(then: Instant, now: Instant) -> Option<Duration> {
    then.unless_never().map(|then| then.since(now))
}
