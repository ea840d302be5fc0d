//! The loop of `rejoin connect`: inputs to the client machine, and its actions.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use bytes::Bytes;
use rejoin::{
    parse_message,
    rejoin_core::{
        Head, Instant, Message, Notification,
        client::{Action, Client, ClientConfig, ExchangeId, Input, is_initialized},
    },
};
use tokio::{
    sync::mpsc::{self, Receiver},
    task::AbortHandle,
};

use super::{
    BATCH_MAX, MESSAGE_BYTES_MAX,
    credentials::Credentials,
    exchange::{Exchanges, HttpRequest},
    http_client,
    options::ConnectConfig,
    render, report,
    stdin::{self, Line, Stdin},
    stdout::Stdout,
};
use crate::signals::Signals;

/// Maximum inputs of exchanges that wait to be handled. Each exchange has at most one more.
const INPUTS_MAX: usize = 4;

/// How long a message is tried again that the server has not executed: less than the timeouts of
/// common applications, so that these get the reason.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the exit waits for the application to read what is queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until the application has left, or a signal ends the program.
pub(super) async fn run(config: ConnectConfig) -> anyhow::Result<()> {
    let (inputs, from_exchanges) = mpsc::channel(INPUTS_MAX);
    let exchanges = Exchanges {
        client: http_client::create(&config.url, config.ca.as_deref())?,
        credentials: Credentials::read(config.headers, config.bearer_file)?,
        url: config.url,
        inputs,
    };
    let mut client_config = ClientConfig::default();
    client_config.message_bytes_max = MESSAGE_BYTES_MAX;
    client_config.send_timeout = SEND_TIMEOUT;
    let seed = RandomState::new().hash_one(0);
    let driver = Driver {
        client: Client::new(client_config.validate()?, seed, Instant::EPOCH),
        started: tokio::time::Instant::now(),
        exchanges,
        running: HashMap::new(),
        stdout: Stdout::start()?,
        actions: Vec::new(),
        is_finished: false,
    };
    let (signals, _) = Signals::install(false)?;
    driver.run(stdin::start(MESSAGE_BYTES_MAX)?, from_exchanges, signals).await;
    Ok(())
}

struct Driver {
    client: Client<Bytes>,
    started: tokio::time::Instant,
    exchanges: Exchanges,
    /// The tasks of the exchanges that have not ended; the client machine limits them.
    running: HashMap<ExchangeId, AbortHandle>,
    stdout: Stdout,
    actions: Vec<Action<Bytes>>,
    is_finished: bool,
}

impl Driver {
    async fn run(
        mut self,
        mut stdin: Stdin,
        mut from_exchanges: Receiver<Input<Bytes>>,
        mut signals: Signals,
    ) {
        let mut is_open = true;
        while !self.is_finished {
            // While the application does not read, no input is received, but time passes: a timeout
            // can end what an input that waits would have continued. The application gets the error
            // when it reads.
            let has_room = self.stdout.has_room();
            let deadline = self.client.deadline().map(Instant::since_epoch);
            let deadline = deadline.and_then(|deadline| self.started.checked_add(deadline));
            let tick = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let has_output = !self.stdout.is_empty();
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal, "shutting down");
                    self.handle(Input::Close);
                }
                is_read = self.stdout.write_next(), if has_output => {
                    if !is_read {
                        self.handle(Input::Close);
                    }
                }
                line = stdin.lines.recv(), if is_open && has_room => {
                    is_open = line.is_some();
                    match line {
                        Some(line) => self.on_line(line),
                        None => self.handle(Input::Close),
                    }
                }
                // An application that has left does not read what would make room.
                _ = &mut stdin.ended, if is_open && !has_room => {
                    is_open = false;
                    self.handle(Input::Close);
                }
                Some(input) = from_exchanges.recv(), if has_room => self.handle(input),
                () = tick => self.handle(Input::Tick),
            }
        }
        if tokio::time::timeout(FLUSH_TIMEOUT, self.stdout.finish()).await.is_err() {
            tracing::warn!("the application did not read the last messages");
        }
    }

    fn on_line(&mut self, line: Line) {
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong => {
                self.stdout.push(render::too_long(MESSAGE_BYTES_MAX));
                return;
            }
        };
        match parse_message(text, BATCH_MAX) {
            Ok(post) => {
                for Message { head, body, bytes } in post.messages() {
                    let body = body.clone().into_bytes();
                    let is_initialized =
                        *head == Head::Notification(Notification::Other) && is_initialized(&body);
                    let message = Message { head: head.clone(), body, bytes: *bytes };
                    self.handle(Input::Message { message, is_initialized });
                }
            }
            Err(error) => self.stdout.push(render::parse_error(&error)),
        }
    }

    /// Passes an input to the client machine, and carries out its actions.
    fn handle(&mut self, input: Input<Bytes>) {
        if let Input::Ended { exchange } | Input::Failed { exchange, .. } = &input {
            self.running.remove(exchange);
        } else if let Input::Response { exchange, response } = &input
            && !(200..300).contains(&response.status)
        {
            self.running.remove(exchange);
        }
        let now = Instant::new(self.started.elapsed());
        let mut actions = std::mem::take(&mut self.actions);
        self.client.handle(now, input, &mut actions);
        for action in actions.drain(..) {
            self.carry_out(action);
        }
        self.actions = actions;
    }

    fn carry_out(&mut self, action: Action<Bytes>) {
        match action {
            Action::Post { exchange, session, content } => {
                let request = HttpRequest::Post(render::content(content));
                self.start(exchange, self.exchanges.clone().run(exchange, session, request));
            }
            Action::Get { exchange, session, last_event_id } => {
                let request = HttpRequest::Get { last_event_id };
                self.start(exchange, self.exchanges.clone().run(exchange, session, request));
            }
            Action::Delete { exchange, session } => {
                let request = HttpRequest::Delete;
                self.start(exchange, self.exchanges.clone().run(exchange, session, request));
            }
            Action::Abort { exchange } => {
                if let Some(task) = self.running.remove(&exchange) {
                    task.abort();
                }
            }
            Action::Deliver { message } => self.stdout.push(message),
            Action::Fail { request, failure } => {
                tracing::warn!(%request, "a request failed: {failure}");
                self.stdout.push(render::failure(&request, &failure));
            }
            Action::Notify(notice) => {
                for message in render::notice(&notice) {
                    self.stdout.push(message);
                }
            }
            Action::Report(report) => report::log(&report),
            Action::Finish => self.is_finished = true,
        }
    }

    fn start(&mut self, exchange: ExchangeId, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task);
        self.running.insert(exchange, task.abort_handle());
    }
}
