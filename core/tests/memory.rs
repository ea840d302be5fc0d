//! What a session holds when nothing is left to do: as much as the last time, to the byte.

#![expect(clippy::unwrap_used, reason = "what these helpers make is valid")]

use std::time::Duration;

use allocation_counter::measure;
use rejoin_core::{
    Actions, AnswerFormat, Config, ConnectionId, EventId, Head, Initialized, Input, Instant,
    Message, Method, Notification, Post, ProtocolVersion, Session, StreamId,
};

/// How often everything happens before anything is measured.
const BEFORE: i64 = 20;
/// How often it happens from then on.
const ROUNDS: i64 = 500;

/// A session, and the time.
struct Run {
    session: Session<u64>,
    now: Instant,
    actions: Actions<u64>,
    /// The connection that comes next.
    connection: u64,
}

impl Run {
    fn begin() -> Self {
        Self::with(Config {
            window_events_max: 4,
            stream_events_max: 8,
            retained_unacknowledged_max: 2,
            tombstones_max: 4,
            idle_timeout: None,
            ..Config::default()
        })
    }

    fn with(config: Config) -> Self {
        let session = Session::new(config.validate().unwrap(), Instant::EPOCH);
        let mut run = Self { session, now: Instant::EPOCH, actions: Actions::new(), connection: 0 };
        let connection = run.request(0, Method::Initialize { version: None });
        run.response(0);
        run.close(connection, Some(1));
        run
    }

    fn tell(&mut self, input: Input<u64>) {
        self.now = self.now.saturating_add(Duration::from_millis(1));
        self.actions.clear();
        let told = format!("{input:?}");
        let result = self.session.handle(self.now, input, &mut self.actions);
        assert!(result.is_ok(), "{told}: {result:?}");
    }

    fn connect(&mut self) -> ConnectionId {
        self.connection += 1;
        ConnectionId(self.connection)
    }

    fn request(&mut self, id: i64, method: Method) -> ConnectionId {
        let connection = self.connect();
        let head = Head::Request { id: id.into(), method, progress_token: Some(id.into()) };
        let post = Post::Single(message(head));
        self.tell(Input::Request { connection, format: AnswerFormat::Sse, post });
        connection
    }

    fn call(&mut self, id: i64) -> ConnectionId {
        self.request(id, Method::Other)
    }

    fn get(&mut self, last_event_id: Option<EventId>) -> ConnectionId {
        let connection = self.connect();
        self.tell(Input::Get { connection, last_event_id });
        connection
    }

    fn close(&mut self, connection: ConnectionId, through: Option<u64>) {
        self.tell(Input::ConnectionClosed { connection, through });
    }

    fn post(&mut self, head: Head) {
        self.tell(Input::Message { post: Post::Single(message(head)) });
    }

    fn backend(&mut self, head: Head) {
        self.tell(Input::BackendMessage { message: message(head), related: None });
    }

    fn response(&mut self, id: i64) {
        self.backend(response(id));
    }

    fn progress(&mut self, token: i64) {
        self.backend(Head::Notification(Notification::Progress { token: token.into() }));
    }

    fn ask(&mut self, id: i64) {
        self.backend(Head::Request { id: id.into(), method: Method::Other, progress_token: None });
    }

    fn stream_of(&self, id: i64) -> StreamId {
        self.session.stream_of(&id.into()).unwrap()
    }

    /// Lets everything happen that leaves something behind, and waits until it is over.
    fn round(&mut self, first: i64) {
        // Answered and taken; then not taken, more often than is retained.
        let connection = self.call(first);
        self.progress(first);
        self.response(first);
        self.close(connection, Some(2));
        for id in first + 1..first + 9 {
            let connection = self.call(id);
            let stream = self.stream_of(id);
            self.progress(id);
            self.close(connection, None);
            self.response(id);
            if id == first + 1 {
                let again = self.get(Some(EventId::new(stream, 1)));
                self.close(again, Some(2));
            }
        }
        // What is left of them is a tombstone.
        let (connection, stream) = (self.call(first + 10), self.stream_of(first + 10));
        self.close(connection, None);
        self.response(first + 10);
        self.wait(Duration::from_secs(61));
        let late = self.get(Some(EventId::new(stream, 0)));
        self.close(late, Some(1));
        // Cancelled, and answered nevertheless or never; given up; an orphan.
        for id in first + 20..first + 24 {
            let connection = self.call(id);
            self.post(cancelled(id));
            self.close(connection, None);
        }
        self.response(first + 23);
        let connection = self.call(first + 30);
        self.tell(Input::Abandon { stream: self.stream_of(first + 30) });
        self.close(connection, None);
        let connection = self.call(first + 31);
        self.close(connection, None);
        // Reserved, and let go of in both ways.
        let expires = self.connect();
        self.tell(Input::Reserve { connection: expires });
        let connection = self.connect();
        self.tell(Input::Reserve { connection });
        self.close(connection, None);
        // Listeners, a flood, and questions: answered, taken back, lost and never heard.
        let (one, other) = (self.get(None), self.get(None));
        self.ask(first);
        self.tell(Input::Acknowledged { connection: one, through: u64::MAX });
        self.post(response(first));
        self.ask(first + 1);
        self.backend(cancelled(first + 1));
        self.ask(first + 2);
        (0..20).for_each(|_| self.backend(Head::Notification(Notification::Other)));
        self.close(one, None);
        self.close(other, None);
        self.ask(first + 3);
        self.rest();
        self.close(expires, None);
        assert_eq!(self.session.connections().count(), 0);
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.tell(Input::Tick);
    }

    /// Lets time pass until no deadline is left.
    fn rest(&mut self) {
        while let Some(deadline) = self.session.deadline() {
            self.now = self.now.max(deadline);
            self.tell(Input::Tick);
        }
        let bytes = self.session.log(StreamId::Standalone).unwrap().bytes();
        assert_eq!((self.session.pending_requests(), self.session.logged_bytes()), (0, bytes));
    }
}

fn message(head: Head) -> Message<u64> {
    Message { head, body: 1, bytes: 10 }
}

fn response(id: i64) -> Head {
    let version = ProtocolVersion::new("2025-11-25");
    Head::Response {
        id: id.into(),
        initialized: Initialized { version, logging: false },
        creates_task: false,
    }
}

fn cancelled(id: i64) -> Head {
    Head::Notification(Notification::Cancelled { request: id.into() })
}

#[test]
fn idle_session_does_not_grow() {
    let mut run = Run::begin();
    (1..=BEFORE).for_each(|round| run.round(100 * round));
    let rounds = BEFORE + 1..=BEFORE + ROUNDS;
    // Of this thread alone: the one that waits for it allocates when it will.
    let more = measure(|| rounds.for_each(|round| run.round(100 * round))).bytes_current;
    assert_eq!(more, 0, "after {ROUNDS} more rounds");
}

/// A burst of calls, connections and questions, of which tombstones are left for a while.
#[test]
fn memory_of_a_burst_is_released() {
    const CALLS: i64 = 1_000;
    const LEFT_MAX: i64 = 16 << 10;
    let config = Config { idle_timeout: None, ..Config::default() };
    let mut run = Run::with(config);
    run.round(0);
    let burst = measure(|| {
        let calls: Vec<ConnectionId> = (0..CALLS).map(|nth| run.call(1_000 + nth)).collect();
        (0..CALLS).for_each(|nth| run.ask(1_000 + nth));
        (0..CALLS).for_each(|nth| run.response(1_000 + nth));
        for connection in calls {
            run.close(connection, None);
        }
        run.rest();
    });
    assert!(burst.bytes_max > 500_000, "{burst:?}");
    assert!(burst.bytes_current < LEFT_MAX, "{burst:?}");
}
