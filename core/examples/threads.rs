//! A driver on plain threads, with a backend, a timer, and a client that resumes.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it prints, with its clock")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    error::Error,
    sync::Arc,
    thread,
    time::{Duration, Instant as Clock},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use rejoin_core::{
    ANSWER_INDEX, Action, Actions, Answer, AnswerFormat, Config, ConnectionId, Event, EventId,
    Input, Instant, Message, Overflow, Parsed, Post, Rejected, Rejection, RequestId, Session,
    StreamId, ValidConfig, parse_head,
};

type Body = Arc<str>;
type Handled = Result<(), Box<Rejected<Body>>>;
type Buffers = BTreeMap<ConnectionId, Buffer>;

enum Command {
    Handle(Body),
    /// There will be no response to this request of the client, or of the backend.
    Forget(RequestId),
}

enum Item {
    Event(EventId, Event<Body>),
    Answer(Answer<Body>),
}

#[derive(Default)]
struct Buffer {
    /// The items that were not pulled yet: at most `window_events_max`.
    items: VecDeque<Item>,
    is_closing: bool,
}

struct State {
    session: Session<Body>,
    actions: Actions<Body>,
    buffers: Buffers,
    /// `None` once the session is closed. The backend ends with it.
    backend: Option<Sender<Command>>,
    /// The streams whose senders wait.
    held: BTreeSet<StreamId>,
}

struct Driver {
    started_at: Clock,
    state: Mutex<State>,
    /// Notified after each input: a reader, a held sender or the timer may continue.
    changed: Condvar,
}

impl Driver {
    fn new(config: ValidConfig) -> (Self, Receiver<Command>) {
        let (backend, commands) = bounded(64); // A backend with more is treated as exited.
        let state = Mutex::new(State {
            session: Session::new(config, Instant::EPOCH),
            actions: Actions::new(),
            buffers: BTreeMap::new(),
            backend: Some(backend),
            held: BTreeSet::new(),
        });
        (Self { started_at: Clock::now(), state, changed: Condvar::new() }, commands)
    }

    /// Reports an input, and carries out the actions, all under one lock.
    fn handle(&self, input: Input<Body>) -> Handled {
        self.handle_locked(&mut self.state.lock(), input)
    }

    fn handle_locked(&self, state: &mut State, input: Input<Body>) -> Handled {
        // The clock is read under the lock, so that time never goes back.
        let now = Instant::new(self.started_at.elapsed());
        let result = state.session.handle(now, input, &mut state.actions);
        while !state.carry_out() {
            let _ = state.session.handle(now, Input::BackendGone, &mut state.actions);
        }
        self.changed.notify_all();
        result
    }

    /// Reports a message of the backend, and retries while the session has no room for it.
    fn send(&self, json: &str) -> Result<(), Box<dyn Error>> {
        let (message, overflow) = (message(json)?, Overflow::Hold);
        let mut input = Input::BackendMessage { message, related: None, overflow };
        let mut state = self.state.lock();
        loop {
            let result = self.handle_locked(&mut state, input);
            self.changed.wait_while(&mut state, |state| !state.held.is_empty());
            match result {
                Err(rejected) if rejected.reason == Rejection::Full => input = rejected.input,
                result => return Ok(result?),
            }
        }
    }

    /// Waits for the next item of a connection, and acknowledges it. `None` is the end.
    fn pull(&self, connection: ConnectionId) -> Option<Item> {
        let mut state = self.state.lock();
        loop {
            let buffer = buffer(&mut state.buffers, connection);
            if let Some(item) = buffer.items.pop_front() {
                let through = if let Item::Event(id, _) = &item { id.index } else { ANSWER_INDEX };
                // Never rejected.
                let _ = self.handle_locked(&mut state, Input::Acknowledged { connection, through });
                return Some(item);
            }
            if buffer.is_closing {
                drop(state);
                self.close(connection);
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Reports the end of a connection.
    fn close(&self, connection: ConnectionId) {
        let mut state = self.state.lock();
        state.buffers.remove(&connection);
        let closed = Input::ConnectionClosed { connection, through: None };
        let _ = self.handle_locked(&mut state, closed);
    }

    /// Reports a tick at each deadline, until the session is closed.
    fn run_timer(&self) {
        let mut state = self.state.lock();
        while state.session.close_reason().is_none() {
            let now = Instant::new(self.started_at.elapsed());
            match state.session.deadline().map(|deadline| deadline.since(now)) {
                Some(Duration::ZERO) => drop(self.handle_locked(&mut state, Input::Tick)),
                Some(wait) => drop(self.changed.wait_for(&mut state, wait)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl State {
    /// Carries out all actions. Returns whether the backend has accepted its commands.
    fn carry_out(&mut self) -> bool {
        let Self { actions, buffers, backend, held, .. } = self;
        let mut commands = Vec::new();
        for action in actions.drain() {
            match action {
                Action::Forward { message } => commands.push(Command::Handle(message)),
                Action::CancelRequest { id } | Action::FailServerRequest { id, .. } => {
                    commands.push(Command::Forget(id));
                }
                Action::Send { connection, id, event } => {
                    buffer(buffers, connection).items.push_back(Item::Event(id, event));
                }
                Action::Respond { connection, answer } => {
                    buffer(buffers, connection).items.push_back(Item::Answer(answer));
                }
                Action::Discard { connection } => buffer(buffers, connection).items.clear(),
                Action::Close { connection, .. } => buffer(buffers, connection).is_closing = true,
                Action::Cut { connection, .. } => {
                    *buffer(buffers, connection) = Buffer { is_closing: true, ..Buffer::default() };
                }
                Action::Hold { stream } => drop(held.insert(stream)),
                Action::Release { stream } => drop(held.remove(&stream)),
                Action::SessionClosed { .. } => (*backend, *held) = (None, BTreeSet::new()),
                // Only if `Config::commits` is set.
                Action::Commit(record) => println!("commit: {record:?}"),
                Action::Report(report) => println!("report: {report:?}"),
            }
        }
        let Some(backend) = backend else { return true };
        commands.into_iter().all(|command| backend.try_send(command).is_ok())
    }
}

fn buffer(buffers: &mut Buffers, connection: ConnectionId) -> &mut Buffer {
    buffers.entry(connection).or_default()
}

fn message(json: &str) -> Result<Message<Body>, Box<dyn Error>> {
    let Parsed::Single(head) = parse_head(json.as_bytes(), 1)? else {
        return Err("a batch".into());
    };
    Ok(Message { head, body: json.into(), bytes: json.len() })
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1}}}"#;
const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

/// Runs a backend that responds to a call after two progress notifications.
fn serve(driver: &Driver, commands: &Receiver<Command>) -> Result<(), Box<dyn Error>> {
    for command in commands {
        match command {
            Command::Handle(body) if &*body == INITIALIZE => driver.send(INITIALIZED)?,
            Command::Handle(_) => {
                let answers = [PROGRESS, PROGRESS, RESPONSE];
                answers.into_iter().try_for_each(|json| driver.send(json))?;
            }
            Command::Forget(id) => println!("no response to {id}"),
        }
    }
    Ok(())
}

/// Runs a client that loses its connection during a call, and resumes.
fn run_client(driver: &Driver) -> Result<(), Box<dyn Error>> {
    let [first, second, third] = [1, 2, 3].map(ConnectionId);
    let post = |connection, json| -> Result<_, Box<dyn Error>> {
        let post = Post::Single(message(json)?);
        Ok(driver.handle(Input::Post { connection, format: AnswerFormat::Sse, post })?)
    };
    post(first, INITIALIZE)?;
    let Some(Item::Answer(answer)) = driver.pull(first) else { return Err("no answer".into()) };
    driver.close(first);
    println!("{answer:?}");
    post(second, CALL)?;
    let Some(Item::Event(id, _)) = driver.pull(second) else { return Err("no event".into()) };
    driver.close(second);
    driver.handle(Input::Get { connection: third, last_event_id: Some(id) })?;
    let mut indexes = Vec::new();
    while let Some(Item::Event(id, event)) = driver.pull(third) {
        println!("{id}: {event:?}");
        indexes.push(id.index);
    }
    if indexes == [1, 2, 3] { Ok(()) } else { Err("events are missing".into()) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (driver, commands) = Driver::new(Config::default().validate()?);
    thread::scope(|scope| {
        scope.spawn(|| driver.run_timer());
        scope.spawn(|| serve(&driver, &commands).map_err(|error| error.to_string()));
        let result = run_client(&driver);
        driver.handle(Input::Delete)?;
        result
    })
}

#[test]
fn a_client_that_resumes_gets_every_event() -> Result<(), Box<dyn Error>> {
    main()
}
