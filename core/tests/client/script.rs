//! The transcript language of these tests, and the runner that checks a client machine against one.
//!
//! A line that begins with `>` is an input. The lines after it are the actions that it must
//! cause. `+10s` before an input advances the time, `> wait` advances it to the deadline.
//! `> 3: …` is an input about exchange 3. `[s1 2025-11-25]` are the headers of the session. The body of a message
//! is its own text: `request 7`.

#![expect(clippy::expect_used, clippy::panic, reason = "an invalid script is a bug in the test")]

use std::{iter::Peekable, str::SplitWhitespace, time::Duration};

use rejoin_core::client::{
    Action, Client, ClientConfig, Content, Event, ExchangeFailure, ExchangeId, Input, Notice,
    Report, Response,
};
use rejoin_core::{
    Head, Initialized, Instant, Message, Method, Notification, ProtocolVersion, RequestId,
};

/// Checks a script with a new client.
pub(crate) fn check(script: &str) {
    Run::new(ClientConfig::default()).check(script);
}

/// Checks a script with a client whose session `s1` is live and has no standalone stream. The next
/// exchange is 4.
pub(crate) fn check_live(script: &str) {
    Run::live(ClientConfig::default()).check(script);
}

/// A client that runs scripts, and its time.
pub(crate) struct Run {
    client: Client<String>,
    now: Instant,
    /// The names of exchanges in scripts, in order of their appearance.
    exchanges: Vec<ExchangeId>,
}

type Words<'a> = Peekable<SplitWhitespace<'a>>;

impl Run {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let config = config.validate().expect("the configuration is valid");
        let client = Client::new(config, 7, Instant::EPOCH);
        Self { client, now: Instant::EPOCH, exchanges: Vec::new() }
    }

    /// Returns a client whose session `s1` is live and has no standalone stream: exchanges 1 to 3.
    pub(crate) fn live(config: ClientConfig) -> Self {
        let mut run = Self::new(config);
        for input in [
            "> app initialize 0",
            "> 1: 200 session s1",
            "> 1: event - initialized 0 2025-11-25 logging",
            "> 1: ended",
            "> app initialized",
            "> 2: 202",
            "> 2: ended",
            "> 3: 405",
        ] {
            run.step(input);
        }
        run
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

    /// Returns the time until the deadline.
    pub(crate) fn delay(&self) -> Duration {
        self.client.deadline().expect("there is a deadline").since(self.now)
    }

    pub(crate) fn client(&self) -> &Client<String> {
        &self.client
    }

    /// Applies one input, and returns the transcript lines of its actions.
    pub(crate) fn step(&mut self, line: &str) -> Vec<String> {
        let mut words = line.trim_start_matches('>').split_whitespace().peekable();
        if let Some(delay) = words.next_if(|word| word.starts_with('+')) {
            self.now = self.now.saturating_add(duration(delay.trim_start_matches('+')));
        }
        let word = words.next().expect("a line has an input");
        let input = match word {
            "app" => {
                let is_initialized = words.peek() == Some(&"initialized");
                Input::Message { message: message(&mut words), is_initialized }
            }
            "close" => Input::Close,
            "tick" => Input::Tick,
            "wait" => {
                self.now = self.client.deadline().expect("there is a deadline");
                Input::Tick
            }
            number => self.about(number, &mut words),
        };
        assert_eq!(words.next(), None, "{line}");
        let mut actions = Vec::new();
        self.client.handle(self.now, input, &mut actions);
        let deadline = self.client.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "{line}: {deadline:?}");
        actions.into_iter().map(|action| self.render(action)).collect()
    }

    /// Parses an input about an exchange.
    fn about(&self, number: &str, words: &mut Words<'_>) -> Input<String> {
        let number: usize = number.trim_end_matches(':').parse().expect("a number");
        let exchange = *self.exchanges.get(number - 1).expect("a known exchange");
        match words.next().expect("an input about an exchange") {
            "event" => Input::Event { exchange, event: event(words) },
            "ended" => Input::Ended { exchange },
            "unsent" => Input::Failed { exchange, failure: ExchangeFailure::Unreachable },
            "untrusted" => {
                let failure = ExchangeFailure::Permanent { reason: "untrusted".into() };
                Input::Failed { exchange, failure }
            }
            "lost" => Input::Failed { exchange, failure: ExchangeFailure::ConnectionLost },
            status => {
                let mut response = Response::new(status.parse().expect("a status"));
                while let Some(word) = words.next() {
                    match word {
                        "session" => response.session_id = words.next().map(Into::into),
                        "after" => response.retry_after = words.next().map(duration),
                        "changed" => response.credentials_changed = true,
                        "error" => {
                            let id = words.next().expect("an id");
                            let head = Head::Error { id: Some(request_id(id)) };
                            response.error = Some(of(head, format!("error {id}")));
                        }
                        other => panic!("{other}"),
                    }
                }
                Input::Response { exchange, response }
            }
        }
    }

    fn render(&mut self, action: Action<String>) -> String {
        match action {
            Action::Post { exchange, session, content } => {
                let content = match content {
                    Content::Message(body) => body,
                    Content::Initialized => "initialized".to_owned(),
                    Content::Busy { request } => format!("busy {request}"),
                    Content::Dropped { request } => format!("dropped {request}"),
                };
                format!("post {} {} {content}", self.name(exchange), headers(&session))
            }
            Action::Get { exchange, session, last_event_id } => {
                let after = last_event_id.map(|id| format!(" after {id}")).unwrap_or_default();
                format!("get {} {}{after}", self.name(exchange), headers(&session))
            }
            Action::Delete { exchange, session } => {
                format!("delete {} {}", self.name(exchange), headers(&session))
            }
            Action::Abort { exchange } => format!("abort {}", self.name(exchange)),
            Action::Deliver { message } => format!("deliver {message}"),
            Action::Fail { request, failure } => format!("fail {request}: {failure}"),
            Action::Notify(Notice::SessionLost) => "notify session lost".to_owned(),
            Action::Notify(Notice::ListsChanged(lists)) => {
                let lists = [
                    (lists.tools, " tools"),
                    (lists.resources, " resources"),
                    (lists.prompts, " prompts"),
                ];
                let lists = lists.into_iter().filter(|(changed, _)| *changed);
                let lists: String = lists.map(|(_, name)| name).collect();
                format!("notify lists changed:{lists}")
            }
            Action::Notify(Notice::Cancelled { request }) => format!("notify cancelled {request}"),
            // The delay has a jitter.
            Action::Report(Report::Reconnecting { .. }) => "report Reconnecting".to_owned(),
            Action::Report(Report::NotRenewed { .. }) => "report NotRenewed".to_owned(),
            Action::Report(report) => format!("report {report:?}"),
            Action::Finish => "finish".to_owned(),
        }
    }

    /// Returns the name of an exchange: the first one is 1.
    fn name(&mut self, exchange: ExchangeId) -> usize {
        let known = self.exchanges.iter().position(|known| *known == exchange);
        let position = known.unwrap_or_else(|| {
            self.exchanges.push(exchange);
            self.exchanges.len() - 1
        });
        position + 1
    }
}

fn headers(session: &rejoin_core::client::SessionHeaders) -> String {
    let id = session.id.as_deref().unwrap_or("-");
    let version = session.version.map(|version| format!(" {version}")).unwrap_or_default();
    format!("[{id}{version}]")
}

/// Parses `ID [retry DURATION] [too-large] [MESSAGE]…`.
fn event(words: &mut Words<'_>) -> Event<String> {
    let mut event = Event::default();
    let id = words.next().expect("an id, or `-`");
    event.id = match id {
        "-" => None,
        "empty" => Some("".into()),
        id => Some(id.into()),
    };
    if words.next_if_eq(&"retry").is_some() {
        event.retry = words.next().map(duration);
    }
    event.is_too_large = words.next_if_eq(&"too-large").is_some();
    while words.peek().is_some() {
        let is_announced = words.next_if_eq(&"lists").is_some();
        event.lists.tools = is_announced;
        event.lists.resources = is_announced;
        event.messages.push(message(words));
    }
    event
}

fn message(words: &mut Words<'_>) -> Message<String> {
    let kind = words.next().expect("a kind of message");
    let (head, body) = match kind {
        "request" => {
            let id = next_id(words);
            (request(id, Method::Other), format!("request {id}"))
        }
        "initialize" => {
            let id = next_id(words);
            let method = Method::Initialize { version: None };
            (request(id, method), format!("initialize {id}"))
        }
        "initialized" if words.peek().is_none() => {
            (Head::Notification(Notification::Other), "initialized".to_owned())
        }
        "initialized" => {
            let (id, version) = (next_id(words), words.next().expect("a version"));
            let logging = words.next_if_eq(&"logging").is_some();
            let initialized = Initialized { version: ProtocolVersion::new(version), logging };
            let id = request_id(id);
            let body = format!("initialized {id} {version}");
            (Head::Response { id, initialized, creates_task: false }, body)
        }
        "notification" => {
            (Head::Notification(Notification::Other), format!("notification {}", next_id(words)))
        }
        "cancelled" => {
            let id = next_id(words);
            let notification = Notification::Cancelled { request: request_id(id) };
            (Head::Notification(notification), format!("cancelled {id}"))
        }
        "response" => {
            let id = next_id(words);
            let initialized = Initialized::default();
            let head = Head::Response { id: request_id(id), initialized, creates_task: false };
            (head, format!("response {id}"))
        }
        "error" => {
            let id = next_id(words);
            let request = (id != "null").then(|| request_id(id));
            (Head::Error { id: request }, format!("error {id}"))
        }
        other => panic!("{other}"),
    };
    let mut message = of(head, body);
    if words.next_if_eq(&"bytes").is_some() {
        message.bytes = words.next().expect("a size").parse().expect("a size");
    }
    message
}

fn of(head: Head, body: String) -> Message<String> {
    Message { head, bytes: body.len(), body }
}

fn request(id: &str, method: Method) -> Head {
    Head::Request { id: request_id(id), method, progress_token: None }
}

/// Parses a number, or takes the text.
fn request_id(text: &str) -> RequestId {
    text.parse::<i64>()
        .map_or_else(|_| RequestId::try_from(text).expect("a short id"), RequestId::from)
}

fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(|it: char| it.is_alphabetic());
    let number: u64 = digits.parse().expect("a number");
    match text.trim_start_matches(digits) {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(number * 60),
        unit => panic!("{unit}"),
    }
}

fn next_id<'a>(words: &mut Words<'a>) -> &'a str {
    words.next().expect("an id")
}
