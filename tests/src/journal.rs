//! Journals: the recorded inputs of a session, checked against the laws.
//!
//! The format is that of `rejoin serve --journal`: a first line with the configuration,
//! then one line for each input, without bodies.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin_core::{Config, Input, Instant, Session};
use serde_json::{Value, json};

use crate::laws::{Checker, ObservedSession, Step, View};

/// The recorded inputs of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// The configuration of the session.
    pub config: Config,
    /// When the session was created.
    pub started_at: Instant,
    /// The inputs and their times.
    pub inputs: Vec<(Instant, Input<()>)>,
}

/// The version of the journal format.
const FORMAT: u64 = 5;

impl Journal {
    /// Reads a journal. An incomplete last line is ignored.
    ///
    /// # Errors
    ///
    /// A line is invalid, or the format is another one; the error names the line.
    pub fn read(text: &str) -> Result<Self, String> {
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut lines = lines.zip(1_usize..);
        let (header, _) = lines.next().ok_or("the journal is empty")?;
        let (config, started_at) = header_of(header).map_err(|error| format!("line 1: {error}"))?;
        let input = |(line, nth)| input_of(line).map_err(|error| format!("line {nth}: {error}"));
        Ok(Self { config, started_at, inputs: lines.map(input).collect::<Result<_, _>>()? })
    }

    /// Replays the journal on a session, and checks every step against the laws.
    ///
    /// # Errors
    ///
    /// The number of the input, counted from 1, and the fault: a broken law or a panic.
    pub fn check(&self) -> Result<(), (usize, String)> {
        self.check_with(|_, _| Ok(()))
    }

    /// Same as [`check`](Self::check), and calls `inspect` with every step and the view
    /// before it. Message bodies are numbers, counted from 1 in the order of arrival from
    /// either side.
    ///
    /// # Errors
    ///
    /// Same as [`check`](Self::check), or the error of `inspect`.
    pub fn check_with(
        &self,
        mut inspect: impl FnMut(&View, &Step) -> Result<(), String>,
    ) -> Result<(), (usize, String)> {
        let mut nth = 0;
        let checked = catch_unwind(AssertUnwindSafe(|| self.replay(&mut nth, &mut inspect)));
        let checked = checked.unwrap_or_else(|_| Err("the session panicked".to_owned()));
        checked.map_err(|failure| (nth, failure))
    }

    fn replay(
        &self,
        nth: &mut usize,
        inspect: &mut impl FnMut(&View, &Step) -> Result<(), String>,
    ) -> Result<(), String> {
        let config = self.config.clone().validate().map_err(|error| error.to_string())?;
        let now = self.started_at;
        let session = || ObservedSession::new(Session::new(config.clone(), now), now);
        let (mut session, mut twin) = (session(), session());
        let mut before = session.view();
        let mut checker = Checker::new(self.config.clone(), now, before.clone());
        let bodies = Cell::new(0);
        let number = || bodies.replace(bodies.get() + 1);
        for (now, input) in &self.inputs {
            *nth += 1;
            let input = input.map(|_, ()| number(), |_, ()| number());
            let step = session.step(*now, input.clone());
            let for_twin = if step.is_applied() { input } else { Input::Tick };
            let twin = twin.step(*now, for_twin);
            checker.check(&step, &twin).map_err(|violation| violation.to_string())?;
            inspect(&before, &step)?;
            before = step.after;
        }
        Ok(())
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, started_at, inputs } = self;
        let header = json!({
            "format": FORMAT, "version": "0", "session": "0", "now": started_at, "config": config,
        });
        writeln!(f, "{header}")?;
        for (now, input) in inputs {
            writeln!(f, "{}", json!({"now": now, "input": input}))?;
        }
        Ok(())
    }
}

fn header_of(line: &str) -> Result<(Config, Instant), String> {
    let mut header = parse(line)?;
    let format: u64 = field(&mut header, "format")?;
    if format != FORMAT {
        return Err(format!("journal format {format} is not supported, only format {FORMAT}"));
    }
    Ok((field(&mut header, "config")?, field(&mut header, "now")?))
}

fn input_of(line: &str) -> Result<(Instant, Input<()>), String> {
    let mut line = parse(line)?;
    Ok((field(&mut line, "now")?, field(&mut line, "input")?))
}

fn parse(line: &str) -> Result<Value, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

fn field<T: for<'a> serde::Deserialize<'a>>(line: &mut Value, name: &str) -> Result<T, String> {
    let value = line.get_mut(name).map(Value::take).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use rejoin_core::ConnectionId;

    use super::*;

    fn journal() -> Journal {
        let get = Input::Get { connection: ConnectionId(1), last_event_id: None };
        let inputs = vec![(Instant::EPOCH, Input::Tick), (Instant::EPOCH, get)];
        Journal { config: Config::default(), started_at: Instant::EPOCH, inputs }
    }

    #[test]
    fn a_written_journal_is_read() {
        let text = journal().to_string();
        assert_eq!(Journal::read(&text), Ok(journal()));
        let cut = text.trim_end().len() - 3;
        let mut shorter = journal();
        shorter.inputs.pop();
        assert_eq!(Journal::read(&text[..cut]), Ok(shorter));
    }

    #[test]
    fn an_invalid_journal_is_rejected() {
        let whole = journal().to_string();
        for (text, expected) in [
            (String::new(), "the journal is empty"),
            ("{}\n".to_owned(), "line 1: format: invalid type: null"),
            (
                whole.replace("\"format\":5", "\"format\":1"),
                "line 1: journal format 1 is not supported",
            ),
            (
                whole.replace("\"window_events_max\":", "\"windows\":"),
                "line 1: config: missing field",
            ),
            (whole.replace("\"Tick\"", "\"Tock\""), "line 2: input: unknown variant `Tock`"),
            (whole.replace("{\"input\":{\"Get\"", "Get"), "line 3: expected value"),
        ] {
            let error = Journal::read(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_journal_is_checked_to_its_end() {
        assert_eq!(journal().check(), Ok(()));
    }

    #[test]
    fn an_invalid_config_fails_before_the_first_input() {
        let mut journal = journal();
        journal.config.window_events_max = 0;
        assert_eq!(journal.check().unwrap_err().0, 0);
    }
}
