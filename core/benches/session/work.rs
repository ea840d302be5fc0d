//! The kinds of work that are measured, each as a closure that does one step.

use std::{hint::black_box, sync::Arc, time::Duration};

use rejoin_core::{
    Actions, AnswerFormat, Config, ConnectionId, EventId, Head, Initialized, Input, Instant,
    Message, Method, Notification, Overflow, Parsed, Post, ProgressToken, ProtocolVersion,
    RequestId, Session, ValidConfig, parse_head,
};

/// One unit of work.
pub(crate) type Step = Box<dyn FnMut()>;

type Body = Arc<[u8]>;

/// A kind of work.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A request, its response, and the close of its connection.
    RequestResponse,
    /// The same, with the heads of both messages parsed from bytes.
    ParseRequestResponse,
    /// A progress event to a reader that acknowledges every eighth one.
    Progress,
    /// A resume that replays one event, the last of this many.
    ResumeOne(u64),
    /// A resume that replays this many events.
    ResumeAll(u64),
    /// A request and its response while this many other streams are open.
    AmongStreams(usize),
    /// The same, and all request ids are random texts.
    AmongTextIds(usize),
    /// An event on one of this many streams without a connection, in turn. After the last one, the
    /// session shrinks until it keeps nothing.
    Shrink(usize),
}

pub(crate) const SESSION_SIZE: usize = size_of::<Session<Body>>();

const REQUEST: &[u8] = br#"{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"},"_meta":{"progressToken":"t-12"}}}"#;
const RESPONSE: &[u8] =
    br#"{"jsonrpc":"2.0","id":12,"result":{"content":[{"type":"text","text":"hello"}],"isError":false}}"#;

impl Work {
    pub(crate) const ALL: [Self; 15] = [
        Self::RequestResponse,
        Self::ParseRequestResponse,
        Self::Progress,
        Self::ResumeOne(10),
        Self::ResumeOne(100),
        Self::ResumeOne(999),
        Self::ResumeAll(10),
        Self::ResumeAll(100),
        Self::ResumeAll(999),
        Self::AmongStreams(1),
        Self::AmongStreams(100),
        Self::AmongStreams(10_000),
        Self::AmongTextIds(10_000),
        Self::Shrink(10),
        Self::Shrink(1_000),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequestResponse => "request + response",
            Self::ParseRequestResponse => "request + response, both heads parsed",
            Self::Progress => "progress event",
            Self::ResumeOne(10) => "resume, 1 event of 10",
            Self::ResumeOne(100) => "resume, 1 event of 100",
            Self::ResumeOne(_) => "resume, 1 event of 999",
            Self::ResumeAll(10) => "resume, 10 events",
            Self::ResumeAll(100) => "resume, 100 events",
            Self::ResumeAll(_) => "resume, 999 events",
            Self::AmongStreams(1) => "request + response among 1 other stream",
            Self::AmongStreams(100) => "request + response among 100 other streams",
            Self::AmongStreams(_) => "request + response among 10000 other streams",
            Self::AmongTextIds(_) => "request + response among 10000 text ids",
            Self::Shrink(10) => "event, and shrinking of 10 streams",
            Self::Shrink(_) => "event, and shrinking of 1000 streams",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name() == name)
    }

    /// Returns the step to measure, on a session that has reached its retention limits.
    pub(crate) fn prepare(self) -> Step {
        match self {
            Self::RequestResponse => {
                let mut driver = Driver::saturated(Config::default());
                Box::new(move || driver.request_response())
            }
            Self::ParseRequestResponse => {
                let mut driver = Driver::saturated(Config::default());
                Box::new(move || driver.parse_request_response())
            }
            Self::Progress => {
                let mut driver = Driver::saturated(Config::default());
                let token = ProgressToken::from(1);
                let connection = driver.open(Some(token.clone()));
                let mut index = 0;
                for _ in 0..2_000 {
                    driver.progress(connection, &token, &mut index);
                }
                Box::new(move || driver.progress(connection, &token, &mut index))
            }
            Self::ResumeOne(events) => resume(events, events - 1),
            Self::ResumeAll(events) => resume(events, 0),
            Self::AmongStreams(streams) => {
                let mut driver = Driver::saturated(many_streams());
                for _ in 0..streams {
                    driver.open(None);
                }
                Box::new(move || driver.request_response())
            }
            Self::AmongTextIds(streams) => {
                let mut driver = Driver::saturated(many_streams());
                let mut ids = (0..).map(text_id);
                for id in ids.by_ref().take(streams) {
                    driver.open_with_id(id, None);
                }
                let ids: Vec<_> = ids.take(4_096).collect();
                let mut next = ids.into_iter().cycle();
                Box::new(move || {
                    if let Some(id) = next.next() {
                        driver.request_response_with_id(id);
                    }
                })
            }
            Self::Shrink(streams) => {
                let mut driver = Driver::saturated(many_streams());
                let tokens: Vec<_> = (0..streams).map(|_| driver.open_detached()).collect();
                let mut next = 0;
                Box::new(move || {
                    if let Some(token) = tokens.get(next) {
                        driver.notify_progress(token);
                    }
                    next = (next + 1) % streams;
                    if next == 0 {
                        driver.shrink();
                    }
                })
            }
        }
    }
}

/// Returns an initialized session without connections.
pub(crate) fn idle_session(config: ValidConfig) -> Session<Body> {
    Driver::new(config).session
}

fn many_streams() -> Config {
    let mut config = Config::default();
    config.streams_max = 20_000;
    config.pending_requests_max = 20_000;
    config.connections_max = 20_000;
    config
}

/// Returns a text like a random UUID.
fn text_id(number: u64) -> RequestId {
    let random = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let random = (random ^ (random >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let text = format!("{random:016x}-{number:015x}");
    RequestId::try_from(text.as_str()).expect("the text is short")
}

pub(crate) fn default_config() -> ValidConfig {
    Config::default().validate().expect("the defaults are valid")
}

fn resume(events: u64, index: u64) -> Step {
    let mut config = Config::default();
    config.window_events_max = 1_024;
    let mut driver = Driver::saturated(config);
    let token = ProgressToken::from(1);
    let connection = driver.open(Some(token.clone()));
    let stream =
        driver.session.stream_on(connection).expect("the connection is attached to a stream");
    let mut last = 0;
    for _ in 0..events {
        driver.progress(connection, &token, &mut last);
    }
    let last_event_id = Some(EventId::new(stream, index));
    Box::new(move || driver.resume(last_event_id))
}

struct Driver {
    session: Session<Body>,
    out: Actions<Body>,
    now: Instant,
    next: i64,
    request: Body,
    response: Body,
}

impl Driver {
    fn new(config: ValidConfig) -> Self {
        let mut driver = Self {
            session: Session::new(config, Instant::EPOCH),
            out: Actions::new(),
            now: Instant::EPOCH,
            next: 0,
            request: REQUEST.into(),
            response: RESPONSE.into(),
        };
        let body = driver.request.clone();
        let method = Method::Initialize { version: None };
        let head = Head::Request { id: RequestId::from(0), method, progress_token: None };
        driver.post(ConnectionId(0), Message { head, body, bytes: REQUEST.len() });
        let version = ProtocolVersion::new("2025-06-18");
        let initialized = Initialized { version, logging: false };
        driver.respond(RequestId::from(0), initialized);
        driver.handle(Input::ConnectionClosed { connection: ConnectionId(0), through: Some(1) });
        driver.next = 1;
        driver
    }

    fn saturated(config: Config) -> Self {
        let mut driver = Self::new(config.validate().expect("the configuration is valid"));
        for _ in 0..10_000 {
            driver.request_response();
        }
        driver
    }

    fn request_response(&mut self) {
        self.request_response_with_id(RequestId::from(self.next));
    }

    fn request_response_with_id(&mut self, id: RequestId) {
        let connection = self.open_with_id(id.clone(), None);
        self.respond(id, Initialized::default());
        self.handle(Input::ConnectionClosed { connection, through: Some(1) });
    }

    fn parse_request_response(&mut self) {
        let connection = ConnectionId(self.next.cast_unsigned());
        self.next += 1;
        let (Ok(Parsed::Single(request)), Ok(Parsed::Single(response))) =
            (parse_head(black_box(REQUEST), 64), parse_head(black_box(RESPONSE), 64))
        else {
            return;
        };
        let body = self.request.clone();
        self.post(connection, Message { head: request, body, bytes: REQUEST.len() });
        let body = self.response.clone();
        let message = Message { head: response, body, bytes: RESPONSE.len() };
        self.handle(Input::BackendMessage { message, related: None, overflow: Overflow::Hold });
        self.handle(Input::ConnectionClosed { connection, through: Some(1) });
    }

    fn progress(&mut self, connection: ConnectionId, token: &ProgressToken, index: &mut u64) {
        self.notify_progress(token);
        *index += 1;
        if index.is_multiple_of(8) {
            self.handle(Input::Acknowledged { connection, through: *index });
        }
    }

    fn notify_progress(&mut self, token: &ProgressToken) {
        let head = Head::Notification(Notification::Progress { token: token.clone() });
        let body = self.response.clone();
        let message = Message { head, body, bytes: RESPONSE.len() };
        self.handle(Input::BackendMessage { message, related: None, overflow: Overflow::Hold });
    }

    /// Evicts all events, and raises the limit again.
    fn shrink(&mut self) {
        self.handle(Input::LimitBytes { bytes_max: 0 });
        assert_eq!(self.session.kept_bytes(), 0);
        self.handle(Input::LimitBytes { bytes_max: usize::MAX });
    }

    fn resume(&mut self, last_event_id: Option<EventId>) {
        let connection = ConnectionId(self.next.cast_unsigned());
        self.next += 1;
        self.handle(Input::Get { connection, last_event_id });
    }

    /// Opens a stream with a request, and closes its connection. Returns its progress token.
    fn open_detached(&mut self) -> ProgressToken {
        let token = ProgressToken::from(self.next);
        let connection = self.open(Some(token.clone()));
        self.handle(Input::ConnectionClosed { connection, through: None });
        token
    }

    /// Opens a stream with a request. Returns its connection.
    fn open(&mut self, progress_token: Option<ProgressToken>) -> ConnectionId {
        self.open_with_id(RequestId::from(self.next), progress_token)
    }

    fn open_with_id(
        &mut self,
        id: RequestId,
        progress_token: Option<ProgressToken>,
    ) -> ConnectionId {
        let connection = ConnectionId(self.next.cast_unsigned());
        self.next += 1;
        let head = Head::Request { id, method: Method::Other, progress_token };
        let body = self.request.clone();
        self.post(connection, Message { head, body, bytes: REQUEST.len() });
        connection
    }

    fn post(&mut self, connection: ConnectionId, message: Message<Body>) {
        let post = Post::Single(message);
        self.handle(Input::Post { connection, format: AnswerFormat::Sse, post });
    }

    fn respond(&mut self, id: RequestId, initialized: Initialized) {
        let head = Head::Response { id, initialized, creates_task: false };
        let body = self.response.clone();
        let message = Message { head, body, bytes: RESPONSE.len() };
        self.handle(Input::BackendMessage { message, related: None, overflow: Overflow::Hold });
    }

    fn handle(&mut self, input: Input<Body>) {
        self.out.clear();
        self.now = self.now.saturating_add(Duration::from_nanos(100));
        let result = self.session.handle(self.now, input, &mut self.out);
        assert!(result.is_ok(), "{result:?}");
        black_box(&self.out);
    }
}
