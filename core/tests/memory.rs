//! Memory of an idle session: it does not grow by a single byte, and bursts are released.

#![expect(clippy::unwrap_used, reason = "test values are valid")]

use std::time::Duration;

use allocation_counter::measure;
use rejoin_core::{
    Actions, AnswerFormat, Config, ConnectionId, EventId, Head, Initialized, Input, Instant,
    Message, Method, Notification, Overflow, Post, ProtocolVersion, Session, StreamId,
};

/// Rounds before the measurement.
const WARM_UP_ROUNDS: i64 = 20;
/// Rounds that are measured.
const ROUNDS: i64 = 500;

/// A session, and its time.
struct Run {
    session: Session<u64>,
    now: Instant,
    actions: Actions<u64>,
    /// The last connection that was used.
    last_connection: u64,
}

impl Run {
    fn new() -> Self {
        let mut config = Config::default();
        config.window_events_max = 4;
        config.stream_events_max = 8;
        config.retained_unacknowledged_max = 2;
        config.tombstones_max = 4;
        config.idle_timeout = None;
        Self::with_config(config)
    }

    fn with_config(config: Config) -> Self {
        let session = Session::new(config.validate().unwrap(), Instant::EPOCH);
        let mut run =
            Self { session, now: Instant::EPOCH, actions: Actions::new(), last_connection: 0 };
        let connection = run.request(0, Method::Initialize { version: None });
        run.response(0);
        run.close(connection, Some(1));
        run
    }

    fn handle(&mut self, input: Input<u64>) {
        self.now = self.now.saturating_add(Duration::from_millis(1));
        self.actions.clear();
        let description = format!("{input:?}");
        let result = self.session.handle(self.now, input, &mut self.actions);
        assert!(result.is_ok(), "{description}: {result:?}");
    }

    fn connect(&mut self) -> ConnectionId {
        self.last_connection += 1;
        ConnectionId(self.last_connection)
    }

    fn request(&mut self, id: i64, method: Method) -> ConnectionId {
        let connection = self.connect();
        let head = Head::Request { id: id.into(), method, progress_token: Some(id.into()) };
        let post = Post::Single(message(head));
        self.handle(Input::Post { connection, format: AnswerFormat::Sse, post });
        connection
    }

    fn open_request(&mut self, id: i64) -> ConnectionId {
        self.request(id, Method::Other)
    }

    fn get(&mut self, last_event_id: Option<EventId>) -> ConnectionId {
        let connection = self.connect();
        self.handle(Input::Get { connection, last_event_id });
        connection
    }

    fn close(&mut self, connection: ConnectionId, through: Option<u64>) {
        self.handle(Input::ConnectionClosed { connection, through });
    }

    fn post(&mut self, head: Head) {
        self.handle(Input::Post {
            connection: ConnectionId(u64::MAX),
            format: AnswerFormat::Sse,
            post: Post::Single(message(head)),
        });
    }

    fn backend(&mut self, head: Head) {
        self.handle(Input::BackendMessage {
            message: message(head),
            related: None,
            overflow: Overflow::Hold,
        });
    }

    fn response(&mut self, id: i64) {
        self.backend(response(id));
    }

    fn progress(&mut self, token: i64) {
        self.backend(Head::Notification(Notification::Progress { token: token.into() }));
    }

    fn server_request(&mut self, id: i64) {
        self.backend(Head::Request { id: id.into(), method: Method::Other, progress_token: None });
    }

    fn stream_of(&self, id: i64) -> StreamId {
        self.session.stream_of(&id.into()).unwrap()
    }

    /// Applies every kind of input that leaves state, and waits until all timers have fired.
    fn round(&mut self, first: i64) {
        // A complete and acknowledged stream; then more unacknowledged ones than are retained.
        let connection = self.open_request(first);
        self.progress(first);
        self.response(first);
        self.close(connection, Some(2));
        for id in first + 1..first + 9 {
            let connection = self.open_request(id);
            let stream = self.stream_of(id);
            self.progress(id);
            self.close(connection, None);
            self.response(id);
            if id == first + 1 {
                let again = self.get(Some(EventId::new(stream, 1)));
                self.close(again, Some(2));
            }
        }
        // Expired, and revived from a tombstone.
        let (connection, stream) = (self.open_request(first + 10), self.stream_of(first + 10));
        self.close(connection, None);
        self.response(first + 10);
        self.wait(Duration::from_secs(61));
        let late = self.get(Some(EventId::new(stream, 0)));
        self.close(late, Some(1));
        // Cancelled, with and without a late response; abandoned; orphaned.
        for id in first + 20..first + 24 {
            let connection = self.open_request(id);
            self.post(cancelled(id));
            self.close(connection, None);
        }
        self.response(first + 23);
        let connection = self.open_request(first + 30);
        self.handle(Input::Abandon { stream: self.stream_of(first + 30) });
        self.close(connection, None);
        let connection = self.open_request(first + 31);
        self.close(connection, None);
        // GETs, a flood, and server requests: answered, cancelled, evicted and undelivered.
        let (one, other) = (self.get(None), self.get(None));
        self.server_request(first);
        self.handle(Input::Acknowledged { connection: one, through: u64::MAX });
        self.post(response(first));
        self.server_request(first + 1);
        self.backend(cancelled(first + 1));
        self.server_request(first + 2);
        (0..20).for_each(|_| self.backend(Head::Notification(Notification::Other)));
        self.close(one, None);
        self.close(other, None);
        self.server_request(first + 3);
        self.run_timers();
        assert_eq!(self.session.connections().count(), 0);
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.handle(Input::Tick);
    }

    /// Advances the time until no deadline is left.
    fn run_timers(&mut self) {
        while let Some(deadline) = self.session.deadline() {
            self.now = self.now.max(deadline);
            self.handle(Input::Tick);
        }
        let bytes = self.session.log(StreamId::Standalone).unwrap().bytes();
        assert_eq!((self.session.pending_requests(), self.session.kept_bytes()), (0, bytes));
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
    let mut run = Run::new();
    (1..=WARM_UP_ROUNDS).for_each(|round| run.round(100 * round));
    let rounds = WARM_UP_ROUNDS + 1..=WARM_UP_ROUNDS + ROUNDS;
    // Counts this thread only, since the test harness allocates at any time.
    let growth = measure(|| rounds.for_each(|round| run.round(100 * round))).bytes_current;
    assert_eq!(growth, 0, "after {ROUNDS} more rounds");
}

/// A burst of requests, connections and server requests, which leave tombstones for a while.
#[test]
fn memory_of_a_burst_is_released() {
    const REQUESTS: i64 = 1_000;
    const REMAINING_BYTES_MAX: i64 = 16 << 10;
    let mut config = Config::default();
    config.idle_timeout = None;
    let mut run = Run::with_config(config);
    run.round(0);
    let burst = measure(|| {
        let connections: Vec<ConnectionId> =
            (0..REQUESTS).map(|nth| run.open_request(1_000 + nth)).collect();
        (0..REQUESTS).for_each(|nth| run.server_request(1_000 + nth));
        (0..REQUESTS).for_each(|nth| run.response(1_000 + nth));
        for connection in connections {
            run.close(connection, None);
        }
        run.run_timers();
    });
    assert!(burst.bytes_max > 500_000, "{burst:?}");
    assert!(burst.bytes_current < REMAINING_BYTES_MAX, "{burst:?}");
}
