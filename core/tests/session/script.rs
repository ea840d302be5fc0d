//! The transcript language of these tests, and the runner that checks a session against one.
//!
//! A line that begins with `>` is an input. The lines after it are the actions that it must
//! cause. `+10s` before an input advances the time. The body of a message is its own text:
//! `request 7 token t (500 bytes)`.

#![expect(clippy::expect_used, clippy::panic, reason = "an invalid script is a bug in the test")]

use std::{str::SplitWhitespace, time::Duration};

use rejoin_core::{
    Action, Actions, Answer, AnswerFormat, Change, Config, ConnectionId, Entry, Event, EventId,
    Head, Initialized, Input, Instant, Message, Method, Notification, Overflow, Post,
    ProgressToken, ProtocolVersion, Rejection, RequestId, Session, SessionCloseReason, StreamId,
    StreamSummary,
};

/// Returns a configuration with these values, and otherwise the defaults or those of `..base`:
/// `config! { window_events_max: 1, ..base }`.
macro_rules! config {
    ($($field:ident $(: $value:expr)?),+ $(,)?) => {
        config! { $($field $(: $value)?,)+ ..rejoin_core::Config::default() }
    };
    ($($field:ident $(: $value:expr)?,)+ ..$base:expr) => {{
        let mut config = $base;
        $({
            $(let $field = $value;)?
            config.$field = $field;
        })+
        config
    }};
}

/// Checks a script with a new session.
pub(crate) fn check(config: Config, script: &str) {
    let mut run = Run::new(config);
    run.check(script);
}

/// Checks a script with a session that was initialized with a revision on connection 0.
pub(crate) fn check_live(revision: &str, config: Config, script: &str) {
    Run::live(revision, config).check(script);
}

/// Checks a script with a session of revision 2025-06-18 in which `requests` are pending:
/// request 7 with token `t` on connection 1, 8 with `u` on 2, 9 with `v` on 3, 10 with `w` on 4.
pub(crate) fn check_pending(requests: usize, config: Config, script: &str) {
    let mut run = Run::live("2025-06-18", config);
    for request in PENDING.iter().take(requests) {
        run.step(request);
    }
    run.check(script);
}

const PENDING: [&str; 4] = [
    "> post 1 request 7 token t",
    "> post 2 request 8 token u",
    "> post 3 request 9 token v",
    "> post 4 request 10 token w",
];

/// A session that runs scripts, and its time.
pub(crate) struct Run {
    session: Session<String>,
    now: Instant,
}

impl Run {
    pub(crate) fn new(config: Config) -> Self {
        let config = config.validate().expect("the configuration is valid");
        Self { session: Session::new(config, Instant::EPOCH), now: Instant::EPOCH }
    }

    /// Returns a session that was initialized with a revision on connection 0.
    pub(crate) fn live(revision: &str, config: Config) -> Self {
        Self::new(config).initialized(revision)
    }

    /// Returns a session of revision 2025-11-25 that replaces an earlier one.
    pub(crate) fn live_replacing(origin: u64, config: Config) -> Self {
        let config = config.validate().expect("the configuration is valid");
        let session = Session::replacing(config, Instant::EPOCH, origin);
        Self { session, now: Instant::EPOCH }.initialized("2025-11-25")
    }

    fn initialized(self, revision: &str) -> Self {
        let mut run = self;
        for input in [
            "> post 0 initialize 0".to_owned(),
            format!("> backend response 0 version {revision}"),
            "> closed 0 through 1".to_owned(),
        ] {
            run.step(&input);
        }
        run
    }

    pub(crate) fn has_backlog(&self, connection: u64) -> bool {
        self.session.has_backlog(ConnectionId(connection))
    }

    pub(crate) fn streams(&self) -> Vec<StreamSummary> {
        self.session.streams().collect()
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.session.is_vacant()
    }

    pub(crate) fn kept_bytes(&self) -> usize {
        self.session.kept_bytes()
    }

    /// Runs the inputs of a script, and compares the resulting transcript with it.
    pub(crate) fn check(&mut self, script: &str) {
        let expected: Vec<&str> =
            script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut actual = Vec::new();
        for input in expected.iter().filter(|line| line.starts_with('>')) {
            actual.push((*input).to_owned());
            actual.extend(self.step(input));
        }
        let (expected, actual) = (expected.join("\n"), actual.join("\n"));
        assert!(expected == actual, "expected:\n{expected}\n\nactual:\n{actual}\n");
    }

    /// Applies one input, and returns the transcript lines of its actions.
    pub(crate) fn step(&mut self, line: &str) -> Vec<String> {
        let mut words = line.trim_start_matches('>').split_whitespace().peekable();
        if let Some(time) = words.next_if(|word| word.starts_with('+')) {
            self.now = self.now.saturating_add(duration(&time[1..]));
        }
        let rest: Vec<&str> = words.collect();
        let input = parse_input(&rest.join(" "));
        let mut actions = Actions::new();
        let result = self.session.handle(self.now, input, &mut actions);
        let mut lines: Vec<String> = actions.iter().map(render).collect();
        match result {
            Ok(()) => {}
            Err(rejected) => {
                lines.push(format!("rejected: {}{rejected}", at_fault(&rejected.reason)));
            }
        }
        if let Some(deadline) = self.session.deadline() {
            assert!(deadline > self.now, "{line}: deadline {deadline:?} is not in the future");
            assert_eq!(self.session.deadline_before(deadline), None, "{line}");
        }
        lines
    }
}

fn render(action: &Action<String>) -> String {
    match action {
        Action::Forward { message } => format!("to backend: {message}"),
        Action::Send { connection, id, event: Event::Gap { first } } => {
            format!("to {connection}: {id} gap {first}..={}", id.index)
        }
        Action::Send { connection, id, event } => {
            format!("to {connection}: {id} {}", render_event(event))
        }
        Action::Respond { connection, answer: Answer::Message(body) } => {
            format!("answer {connection}: {body}")
        }
        Action::Respond { connection, answer: Answer::Failure(failure) } => {
            format!("answer {connection}: failure {} {:?}", unquoted(&failure.id), failure.reason)
        }
        Action::Cut { connection, reason } => format!("cut {connection}: {reason:?}"),
        Action::Close { connection, reason } => format!("close {connection}: {reason:?}"),
        Action::Discard { connection } => format!("discard {connection}"),
        Action::FailServerRequest { id, reason } => {
            format!("fail {}: {reason:?}", unquoted(id))
        }
        Action::CancelRequest { id } => format!("cancel {}", unquoted(id)),
        Action::Hold { stream } => format!("hold {stream}"),
        Action::Release { stream } => format!("release {stream}"),
        Action::SessionClosed { reason, pending_requests, server_requests } => {
            let list = |name: &str, ids: &[RequestId]| {
                let ids: Vec<_> = ids.iter().map(unquoted).collect();
                if ids.is_empty() { String::new() } else { format!("; {name} {}", ids.join(", ")) }
            };
            let pending = list("pending", pending_requests);
            format!("session closed: {reason:?}{pending}{}", list("server", server_requests))
        }
        Action::Commit(record) => {
            format!("commit {}: {}", record.sequence, render_change(&record.change))
        }
        Action::Report(report) => format!("report {report:?}"),
    }
}

fn render_change(change: &Change<String>) -> String {
    match change {
        Change::Opened { number, requests } => {
            let requests: Vec<_> = requests.iter().map(|(id, _)| unquoted(id)).collect();
            format!("opened {number} with {}", requests.join(", "))
        }
        Change::Logged { stream, index, entry } => {
            let event = match entry {
                Entry::Message { body, .. } => Event::Message(body.clone()),
                Entry::Failure(failure) => Event::Failure(failure.clone()),
            };
            format!("{} {}", EventId::new(*stream, *index), render_event(&event))
        }
        Change::Missed { stream, index } => {
            format!("missed {}", EventId { stream: *stream, index: *index })
        }
        Change::Completed { number } => format!("completed {number}"),
        Change::Cancelled { number } => format!("cancelled {number}"),
        Change::RequestCancelled { id } => format!("request {} cancelled", unquoted(id)),
        Change::ServerRequestEnded { id, is_retracted } => {
            let retracted = if *is_retracted { ", retracted" } else { "" };
            format!("server request {} ended{retracted}", unquoted(id))
        }
        Change::TaskCreated { token } => format!("task {token}"),
        Change::Acknowledged { stream, through } => {
            format!("acknowledged {}", EventId { stream: *stream, index: *through })
        }
    }
}

fn render_event(event: &Event<String>) -> String {
    match event {
        Event::Message(body) => body.clone(),
        Event::Failure(failure) => {
            format!("failure {} {:?}", unquoted(&failure.id), failure.reason)
        }
        Event::Priming { retry: None } => "priming".to_owned(),
        Event::Priming { retry: Some(retry) } => format!("priming retry {retry:?}"),
        Event::Gap { first } => format!("gap from {first}"),
    }
}

fn unquoted(id: &RequestId) -> String {
    id.to_string().replace('"', "")
}

/// Returns the prefix that names the party at fault, if there is one.
fn at_fault(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Client(_) => "client: ",
        Rejection::Backend(_) => "backend: ",
        Rejection::ApiMisuse(_) => "driver: ",
        Rejection::Closed(_) | Rejection::Full | Rejection::Draining => "",
    }
}

fn parse_input(text: &str) -> Input<String> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut words = rest.split_whitespace();
    match verb {
        "post" => parse_post(rest),
        "get" => {
            let connection = connection(&mut words);
            let last_event_id = option(rest, "after").map(|id| id.parse().expect("an event id"));
            Input::Get { connection, last_event_id }
        }
        "ack" => {
            let connection = connection(&mut words);
            let through = option(rest, "through").expect("through");
            Input::Acknowledged { connection, through: through.parse().expect("an index") }
        }
        "closed" => {
            let connection = connection(&mut words);
            let through = option(rest, "through").map(|index| index.parse().expect("an index"));
            Input::ConnectionClosed { connection, through }
        }
        "abandon" => Input::Abandon { stream: stream(rest) },
        "delete" => Input::Delete,
        "shutdown" => Input::CloseSession { reason: SessionCloseReason::ServerShutdown },
        "disconnect" => Input::Disconnect {
            stream: stream(words.next().expect("a stream")),
            retry: option(rest, "retry").map(duration),
        },
        "backend" if rest == "gone" => Input::BackendGone,
        "backend" if rest == "lost" => Input::BackendLost,
        "committed" => Input::Committed { through: rest.parse().expect("a number") },
        "backend" => parse_backend_message(rest, Overflow::Hold),
        "backend-evicting" => parse_backend_message(rest, Overflow::Evict),
        "limit" => Input::LimitBytes { bytes_max: rest.parse().expect("a number of bytes") },
        "drain" => Input::Drain { retry: duration(rest) },
        "tick" => Input::Tick,
        _ => panic!("unknown input: {text}"),
    }
}

fn parse_backend_message(text: &str, overflow: Overflow) -> Input<String> {
    Input::BackendMessage {
        message: message(text),
        related: option(text, "related").map(id),
        overflow,
    }
}

/// `[CONNECTION [json]] MESSAGE` or `[CONNECTION [json]] batch [MESSAGE, …]`.
fn parse_post(text: &str) -> Input<String> {
    let (number, rest) = match text.split_once(' ') {
        Some((first, rest)) if first.parse::<u64>().is_ok() => (first.parse().ok(), rest),
        _ => (None, text),
    };
    let (format, rest) = match rest.strip_prefix("json ") {
        Some(rest) => (AnswerFormat::Json, rest),
        None => (AnswerFormat::Sse, rest),
    };
    let post = match rest.strip_prefix("batch [").and_then(|rest| rest.strip_suffix(']')) {
        Some(messages) => {
            Post::Batch(messages.split(", ").filter(|text| !text.is_empty()).map(message).collect())
        }
        None => Post::Single(message(rest)),
    };
    Input::Post { connection: ConnectionId(number.unwrap_or(u64::MAX)), format, post }
}

fn message(text: &str) -> Message<String> {
    let bytes = text
        .split_once('(')
        .map_or(0, |(_, size)| size.trim_end_matches(" bytes)").parse().expect("a size"));
    let mut words = text.split_whitespace();
    let kind = words.next().expect("a kind of message");
    let mut next_id = || id(words.next().expect("an id"));
    let head = match kind {
        "initialize" => request(next_id(), Method::Initialize { version: None }, text),
        "ping" => request(next_id(), Method::Ping, text),
        "request" => request(next_id(), Method::Other, text),
        "response" => Head::Response {
            id: next_id(),
            initialized: Initialized {
                version: option(text, "version").and_then(ProtocolVersion::new),
                logging: false,
            },
            creates_task: text.contains(" creates task"),
        },
        "error" => Head::Error { id: Some(next_id()) },
        "null-error" => Head::Error { id: None },
        "progress" => {
            let token = token(words.next().expect("a token"));
            Head::Notification(Notification::Progress { token })
        }
        "cancelled" => Head::Notification(Notification::Cancelled { request: next_id() }),
        "log" => Head::Notification(Notification::Log),
        "notification" => Head::Notification(Notification::Other),
        _ => panic!("unknown message: {text}"),
    };
    Message { head, body: text.to_owned(), bytes }
}

fn request(id: RequestId, method: Method, text: &str) -> Head {
    Head::Request { id, method, progress_token: option(text, "token").map(token) }
}

fn id(word: &str) -> RequestId {
    match word.parse::<i64>() {
        Ok(integer) => RequestId::from(integer),
        Err(_) => RequestId::try_from(word).expect("an id"),
    }
}

fn token(word: &str) -> ProgressToken {
    ProgressToken::try_from(word).expect("a token")
}

fn connection(words: &mut SplitWhitespace<'_>) -> ConnectionId {
    ConnectionId(words.next().and_then(|word| word.parse().ok()).expect("a connection"))
}

fn stream(word: &str) -> StreamId {
    match word {
        "standalone" => StreamId::Standalone,
        number => StreamId::Request(number.parse().expect("a stream")),
    }
}

/// Returns the word after `name`.
fn option<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()
}

fn duration(text: &str) -> Duration {
    let digits = text.find(|character: char| !character.is_ascii_digit()).expect("a unit");
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().expect("a number");
    match unit {
        "ns" => Duration::from_nanos(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(60 * number),
        _ => panic!("unknown unit: {text}"),
    }
}
