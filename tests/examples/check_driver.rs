//! Check of a small driver that can make mistakes. Prints which of them are found:
//! `cargo run -p rejoin-tests --example check_driver`.
//!
//! To check another driver, make it call a `CheckedSession` instead of a `Session`.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::{collections::BTreeMap, error::Error, time::Duration};

use rejoin_core::{
    ANSWER_INDEX, Action, Actions, AnswerFormat, Config, ConnectionId, EventId, Input, Instant,
    Message, Overflow, Parsed, Post, StreamId, parse_head,
};
use rejoin_tests::driver::{CheckedSession, Fault};

/// A mistake of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    LosesEvent,
    NeverTicks,
    NeverReportsClosed,
}

const MISTAKES: [Mistake; 4] =
    [Mistake::None, Mistake::LosesEvent, Mistake::NeverTicks, Mistake::NeverReportsClosed];

fn main() -> Result<(), Box<dyn Error>> {
    for mistake in MISTAKES {
        println!("{mistake:?}");
        for fault in run(mistake)? {
            println!("    {fault}");
        }
    }
    Ok(())
}

/// The driver under test. `flush` writes the buffer of a connection to its client.
struct Driver {
    session: CheckedSession<&'static str>,
    actions: Actions<&'static str>,
    buffered: BTreeMap<ConnectionId, Vec<u64>>,
    closing: Vec<ConnectionId>,
    now: Instant,
    mistake: Mistake,
}

impl Driver {
    fn new(mistake: Mistake) -> Result<Self, Box<dyn Error>> {
        let mut config = Config::default();
        config.retention = Some(Duration::from_secs(30));
        let now = Instant::EPOCH;
        let session = CheckedSession::new(config.validate()?, now, Duration::from_millis(10));
        let actions = Actions::new();
        Ok(Self { session, actions, buffered: BTreeMap::new(), closing: Vec::new(), now, mistake })
    }

    fn handle(&mut self, input: Input<&'static str>) -> Result<(), Box<dyn Error>> {
        let result = self.session.handle(self.now, input, &mut self.actions);
        for action in self.actions.drain() {
            match action {
                Action::Send { connection, id, .. } => {
                    self.buffered.entry(connection).or_default().push(id.index);
                }
                Action::Respond { connection, .. } => {
                    self.buffered.entry(connection).or_default().push(ANSWER_INDEX);
                }
                Action::Discard { connection } | Action::Cut { connection, .. } => {
                    self.buffered.remove(&connection);
                }
                Action::Close { connection, .. } => self.closing.push(connection),
                Action::Forward { .. }
                | Action::FailServerRequest { .. }
                | Action::CancelRequest { .. }
                | Action::Hold { .. }
                | Action::Release { .. }
                | Action::SessionClosed { .. }
                | Action::Commit(_)
                | Action::Report(_) => {}
            }
        }
        Ok(result?)
    }

    /// Advances the time, with ticks at the deadlines.
    fn wait(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        let end = self.now.saturating_add(time);
        while let Some(deadline) = self.session.deadline().filter(|deadline| *deadline <= end) {
            if self.mistake == Mistake::NeverTicks {
                break;
            }
            self.now = deadline;
            self.handle(Input::Tick)?;
        }
        self.now = end;
        Ok(())
    }

    /// Writes the buffer of a connection to its client, and acknowledges it.
    fn flush(&mut self, connection: ConnectionId) -> Result<(), Box<dyn Error>> {
        let mut events = self.buffered.remove(&connection).unwrap_or_default();
        let last = events.last().copied();
        if self.mistake == Mistake::LosesEvent && events.len() > 1 {
            events.remove(0);
        }
        for index in events {
            self.session.received(connection, index);
        }
        if let Some(through) = last {
            self.handle(Input::Acknowledged { connection, through })?;
        }
        if self.closing.contains(&connection) && self.mistake != Mistake::NeverReportsClosed {
            self.handle(Input::ConnectionClosed { connection, through: last })?;
        }
        Ok(())
    }

    fn post(&mut self, connection: u64, json: &'static str) -> Result<(), Box<dyn Error>> {
        let (connection, post) = (ConnectionId(connection), Post::Single(message(json)?));
        self.handle(Input::Post { connection, format: AnswerFormat::Sse, post })
    }

    fn backend(&mut self, json: &'static str) -> Result<(), Box<dyn Error>> {
        self.handle(Input::BackendMessage {
            message: message(json)?,
            related: None,
            overflow: Overflow::Hold,
        })
    }
}

fn message(json: &'static str) -> Result<Message<&'static str>, Box<dyn Error>> {
    let Parsed::Single(head) = parse_head(json.as_bytes(), 1)? else {
        return Err("unexpected batch".into());
    };
    Ok(Message { head, body: json, bytes: json.len() })
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1}}}"#;
const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#;
const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

/// A client loses its connection during a request, resumes, gets the rest, and stays away for
/// longer than the response is retained, but not until the session cuts connections that were
/// not reported as closed.
fn run(mistake: Mistake) -> Result<Vec<Fault>, Box<dyn Error>> {
    let mut driver = Driver::new(mistake)?;
    driver.post(1, INITIALIZE)?;
    driver.backend(INITIALIZED)?;
    driver.flush(ConnectionId(1))?;

    driver.post(2, CALL)?;
    driver.flush(ConnectionId(2))?;
    driver.handle(Input::ConnectionClosed { connection: ConnectionId(2), through: Some(0) })?;
    for _ in 0..3 {
        driver.backend(PROGRESS)?;
    }

    let last_event_id = Some(EventId::new(StreamId::Request(0), 0));
    driver.handle(Input::Get { connection: ConnectionId(3), last_event_id })?;
    driver.backend(RESPONSE)?;
    driver.flush(ConnectionId(3))?;
    driver.wait(Duration::from_secs(31))?;
    Ok(driver.session.finish(driver.now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_mistakes_are_found() {
        for (mistake, words) in MISTAKES.into_iter().zip([
            "",
            "connection 3 received event 2 before event 1",
            "no tick at the deadline",
            "was closed by the session, but `Input::ConnectionClosed` never came",
        ]) {
            let faults = run(mistake).unwrap_or_else(|error| panic!("{mistake:?}: {error}"));
            let reports: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let is_found = reports.iter().any(|fault| fault.contains(words));
            assert_eq!(is_found, mistake != Mistake::None, "{mistake:?}: {reports:?}");
        }
    }
}
