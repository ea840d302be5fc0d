//! Client machine: one application's conversation with one server, as a pure state machine.
//!
//! A [`Session`](crate::Session) is the server's half of the Streamable HTTP transport; a [`Client`]
//! is the other one. An *application* gives it messages one by one, as over stdio. The machine
//! decides which HTTP requests carry them, which are tried again and when, which streams are
//! resumed after which event, what the application gets and what it must not get twice, and when
//! a lost session is replaced by a new one. It does nothing else: like a session, it has no
//! sockets and no clock.
//!
//! A driver reports an [`Input`] with the time, and carries out the [`Action`]s. An *exchange* is
//! one HTTP request and its response. If nothing else happens, the driver reports a tick at the
//! [`deadline`](Client::deadline).
//!
//! [`behaviour`] specifies the actions.
//!
//! ```
//! use rejoin_core::client::{Action, Client, ClientConfig, Content, Event, Input, Response};
//! use rejoin_core::{Instant, Message, Parsed, parse_head};
//!
//! fn message(json: &str) -> Result<Message<String>, Box<dyn std::error::Error>> {
//!     match parse_head(json.as_bytes(), 1)? {
//!         Parsed::Single(head) => Ok(Message { head, body: json.to_owned(), bytes: json.len() }),
//!         Parsed::Batch(_) => Err("a batch".into()),
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::EPOCH;
//! let mut client = Client::new(ClientConfig::default().validate()?, 7, now);
//! let mut actions = Vec::new();
//!
//! // The application sends `initialize`: one POST.
//! let initialize = message(r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#)?;
//! client.handle(now, Input::Message { message: initialize, is_initialized: false }, &mut actions);
//! let [Action::Post { exchange, content: Content::Message(_), .. }] = actions[..] else { panic!() };
//!
//! // The server responds with JSON.
//! let mut response = Response::new(200);
//! response.session_id = Some("s1".into());
//! client.handle(now, Input::Response { exchange, response }, &mut actions);
//! let body = message(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#)?;
//! actions.clear();
//! client.handle(now, Input::Event { exchange, event: Event::new(None, body) }, &mut actions);
//! assert!(matches!(actions[..], [Action::Deliver { .. }]));
//! # Ok(())
//! # }
//! ```

mod action;
mod application;
mod backoff;
mod close;
mod config;
mod event;
mod input;
mod outgoing;
mod renew;
mod response;
mod seen;
mod standalone;
mod stream;
mod timers;
mod waiting;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::marker::PhantomData;

pub use self::{
    action::{Action, CallFailure, Content, Notice, Report, SessionHeaders},
    config::{ClientConfig, ClientConfigError, ValidClientConfig},
    input::{Event, ExchangeFailure, ExchangeId, Input, Response},
};
use self::{
    backoff::Backoff,
    outgoing::Outgoing,
    stream::Stream,
    timers::{Timer, Timers},
};
pub use crate::head::{Lists, announced_lists, is_initialized};
use crate::{Instant, ProtocolVersion, RequestId};

#[doc = include_str!("../../docs/client.md")]
pub mod behaviour {}

/// One application's conversation with one server, as a state machine.
///
/// `C` is the driver's type of a message body of the application, which is kept until the server
/// has accepted the message, and `S` that of one of the server, which is only passed on.
#[derive(Debug)]
pub struct Client<C, S = C> {
    config: ValidClientConfig,
    backoff: Backoff,
    now: Instant,
    phase: Phase,
    session: SessionState<C>,
    /// Messages that the server has not accepted yet, by number; at most `queued_max`, and those
    /// of the machine itself: one for a new session, and errors up to `server_requests_max`.
    outgoing: BTreeMap<u64, Outgoing<C>>,
    /// The size of the messages in `outgoing`; at most `queued_bytes_max`.
    queued_bytes: usize,
    /// What POSTs are answered with, and the standalone stream, by number; at most
    /// `requests_max`, `lingering_max`, and the others.
    streams: BTreeMap<u64, Stream>,
    /// Streams on which nothing is pending any more, and whose exchange has not ended; at most
    /// `lingering_max`.
    lingering: VecDeque<u64>,
    /// The number of the standalone stream, if there is one.
    standalone: Option<u64>,
    /// Exchanges that have not ended; at most one for each outgoing message and stream, and
    /// `DELETES_MAX` DELETEs.
    exchanges: BTreeMap<ExchangeId, Purpose>,
    /// The pending requests of the application; at most `requests_max`.
    requests: BTreeMap<RequestId, Place>,
    /// The requests that the server of the present session has made, and the application has not
    /// answered; at most `server_requests_max`.
    server_requests: BTreeSet<RequestId>,
    timers: Timers,
    /// The last number of a message, stream or exchange.
    last_number: u64,
    server_body: PhantomData<fn(S)>,
}

/// The phase of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The application has not sent `initialize`, or it has failed.
    New,
    /// The `initialize` of the application is pending.
    Initializing,
    /// There is a session.
    Live,
    /// The session was lost, and a new one is begun.
    Renewing,
    /// The application has left, and the session is deleted.
    Closing,
    /// Nothing follows.
    Closed,
}

/// What is known of the session, and what a new one needs.
#[derive(Debug)]
struct SessionState<C> {
    id: Option<Box<str>>,
    version: Option<ProtocolVersion>,
    /// The version that the application knows.
    first_version: Option<ProtocolVersion>,
    /// Whether the server has the capability `logging`, as the application knows it.
    logging: bool,
    /// The `initialize` of the application, which also begins the next session.
    initialize: Option<(RequestId, C)>,
    /// The lists that the server of the present session announces.
    lists: Lists,
    /// Counts the attempts to open a session: an exchange belongs to the one that it was sent in.
    generation: u64,
    /// When a session was last lost.
    lost_at: Instant,
    /// The permanent reason why no connection could be made in the last attempt to open one, if
    /// there was such a reason.
    permanent: Option<Box<str>>,
    /// When it became live.
    live_since: Instant,
    /// Whether it has accepted a message of the application, apart from the handshake.
    is_proven: bool,
    /// Sessions that were lost, or not opened, since one was proven.
    attempts: u32,
    /// When the server wants the next attempt to open a session, at the earliest.
    not_before: Instant,
    /// Whether `notifications/initialized` is expected from the application.
    awaits_initialized: bool,
    /// The message that must be accepted before others are sent: `notifications/initialized`.
    barrier: Option<u64>,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The POST of an outgoing message.
    Post(u64),
    /// The body of a stream.
    Stream(u64),
    /// The DELETE of a session.
    Delete,
}

/// Where a pending request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outgoing(u64),
    Stream(u64),
}

impl<C: Clone, S> Client<C, S> {
    /// Creates a client at `now`. The jitter of its delays comes from `seed`.
    #[must_use]
    pub fn new(config: ValidClientConfig, seed: u64, now: Instant) -> Self {
        Self {
            backoff: Backoff::new(seed, config.backoff_min, config.backoff_max),
            config,
            now,
            phase: Phase::New,
            session: SessionState {
                id: None,
                version: None,
                first_version: None,
                logging: false,
                initialize: None,
                lists: Lists::default(),
                generation: 0,
                lost_at: now,
                permanent: None,
                live_since: now,
                is_proven: false,
                attempts: 0,
                not_before: now,
                awaits_initialized: false,
                barrier: None,
            },
            outgoing: BTreeMap::new(),
            queued_bytes: 0,
            streams: BTreeMap::new(),
            lingering: VecDeque::new(),
            standalone: None,
            exchanges: BTreeMap::new(),
            requests: BTreeMap::new(),
            server_requests: BTreeSet::new(),
            timers: Timers::default(),
            last_number: 0,
            server_body: PhantomData,
        }
    }

    /// Applies one input. Actions are appended to `out`.
    ///
    /// Timers that are due at `now` fire first. A `now` before the previous one is replaced by
    /// the previous one.
    pub fn handle(&mut self, now: Instant, input: Input<C, S>, out: &mut Vec<Action<C, S>>) {
        self.now = self.now.max(now);
        self.fire_due(out);
        if self.phase != Phase::Closed {
            self.apply(input, out);
        }
        if matches!(self.phase, Phase::New | Phase::Initializing | Phase::Live | Phase::Renewing) {
            self.end_lingering(out);
            self.send_queued(out);
        }
        self.fire_due(out);
    }

    /// Returns when the next [`Input::Tick`] is due; `None` is never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Returns the number of pending requests of the application.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.requests.len()
    }

    /// Returns the number of exchanges that have not ended.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.exchanges.len()
    }

    fn apply(&mut self, input: Input<C, S>, out: &mut Vec<Action<C, S>>) {
        match input {
            Input::Message { message, is_initialized } => {
                self.on_message(message, is_initialized, out);
            }
            Input::Response { exchange, response } => self.on_response(exchange, response, out),
            Input::Event { exchange, event } => {
                if let Some(Purpose::Stream(number)) = self.exchanges.get(&exchange).copied() {
                    self.on_event(number, event, out);
                }
            }
            Input::Ended { exchange } => match self.exchanges.remove(&exchange) {
                Some(Purpose::Stream(number)) => self.on_detached(number, true, out),
                Some(Purpose::Post(number)) => {
                    self.on_post_failed(number, ExchangeFailure::ConnectionLost, out);
                }
                Some(Purpose::Delete) => self.on_delete_failed(exchange, out),
                None => {}
            },
            Input::Failed { exchange, failure } => match self.exchanges.remove(&exchange) {
                Some(Purpose::Stream(number)) => self.on_detached(number, false, out),
                Some(Purpose::Post(number)) => self.on_post_failed(number, failure, out),
                Some(Purpose::Delete) => self.on_delete_failed(exchange, out),
                None => {}
            },
            Input::Close => self.close(out),
            Input::Tick => {}
        }
    }

    fn on_response(
        &mut self,
        exchange: ExchangeId,
        response: Response<S>,
        out: &mut Vec<Action<C, S>>,
    ) {
        match self.exchanges.get(&exchange).copied() {
            Some(Purpose::Post(number)) => self.on_posted(number, exchange, response, out),
            Some(Purpose::Stream(number)) => self.on_resumed(number, exchange, &response, out),
            Some(Purpose::Delete) => self.on_delete_response(exchange, &response, out),
            None => {}
        }
    }

    fn fire_due(&mut self, out: &mut Vec<Action<C, S>>) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Send(number) => self.post(number, out),
                Timer::Resume(number) => self.resume(number, out),
                Timer::Renew => self.begin_session(out),
                Timer::Open => self.on_not_opened(out),
                Timer::Wait => self.end_waiting(self.now, out),
                Timer::Delete(exchange) => self.on_delete_timeout(exchange, out),
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn session_headers(&self) -> SessionHeaders {
        SessionHeaders { id: self.session.id.clone(), version: self.session.version }
    }

    /// Ends a request without a response.
    fn fail(&mut self, request: RequestId, failure: CallFailure, out: &mut Vec<Action<C, S>>) {
        if self.requests.remove(&request).is_some() {
            self.on_initialize_failed(&request, out);
            out.push(Action::Fail { request, failure });
        }
    }
}
