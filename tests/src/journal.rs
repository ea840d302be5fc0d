//! Journals: all that one session was told, to be judged by the laws.
//!
//! They are read and written as `rejoin serve --journal` writes them: a first line
//! with the configuration, then one line for each input, without bodies.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin_core::{Config, Input, Instant, Session};
use serde_json::{Value, json};

use crate::laws::{Checker, ObservedSession, Step, View};

/// All that one session was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// What the session was held to.
    pub config: Config,
    /// When it began.
    pub started_at: Instant,
    /// What it was told, and when.
    pub inputs: Vec<(Instant, Input<()>)>,
}

/// The way in which journals are written.
const FORMAT: u64 = 1;

impl Journal {
    /// Reads a journal. A last line that is not whole is left out.
    ///
    /// # Errors
    ///
    /// Which line is none of a journal, or of one that is written in another way.
    pub fn read(text: &str) -> Result<Self, String> {
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut lines = lines.zip(1_usize..);
        let (header, _) = lines.next().ok_or("it has no first line")?;
        let (config, began) = header_of(header).map_err(|error| format!("line 1: {error}"))?;
        let input = |(line, nth)| input_of(line).map_err(|error| format!("line {nth}: {error}"));
        Ok(Self { config, started_at: began, inputs: lines.map(input).collect::<Result<_, _>>()? })
    }

    /// Tells a session all of it, and lets the laws judge every step.
    ///
    /// # Errors
    ///
    /// Which input, counted from 1, and what was wrong: a law that is broken, or a
    /// panic.
    pub fn check(&self) -> Result<(), (usize, String)> {
        self.check_with(|_, _| Ok(()))
    }

    /// Plays it likewise, and lets `see` judge every step, too: with what the session
    /// said of itself before, and what the step is. Messages are numbered from 1, in the
    /// order in which they came from either side.
    ///
    /// # Errors
    ///
    /// As of [`play`](Self::play), or what `see` says.
    pub fn check_with(
        &self,
        mut see: impl FnMut(&View, &Step) -> Result<(), String>,
    ) -> Result<(), (usize, String)> {
        let mut nth = 0;
        let played = catch_unwind(AssertUnwindSafe(|| self.replay(&mut nth, &mut see)));
        let played = played.unwrap_or_else(|_| Err("it panics".to_owned()));
        played.map_err(|wrong| (nth, wrong))
    }

    fn replay(
        &self,
        nth: &mut usize,
        see: &mut impl FnMut(&View, &Step) -> Result<(), String>,
    ) -> Result<(), String> {
        let config = self.config.clone().validate().map_err(|error| error.to_string())?;
        let now = self.started_at;
        let session = || ObservedSession::new(Session::new(config.clone(), now), now);
        let (mut session, mut twin) = (session(), session());
        let mut before = session.view();
        let mut observer = Checker::new(self.config.clone(), now, before.clone());
        let mut body = 0;
        for (now, input) in &self.inputs {
            *nth += 1;
            let input = input.clone().map(|_, ()| {
                body += 1;
                body
            });
            let step = session.step(*now, input.clone());
            let for_twin = if step.result.is_ok() { input } else { Input::Tick };
            let twin = twin.step(*now, for_twin);
            observer.check(&step, &twin).map_err(|broken| broken.to_string())?;
            see(&before, &step)?;
            before = step.after;
        }
        Ok(())
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, started_at: began, inputs } = self;
        let header = json!({
            "format": FORMAT, "version": "0", "session": "0", "now": began, "config": config,
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
        return Err(format!("it has format {format}, and format {FORMAT} is what is read here"));
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
    fn what_is_written_is_read() {
        let text = journal().to_string();
        assert_eq!(Journal::read(&text), Ok(journal()));
        let cut = text.trim_end().len() - 3;
        let mut shorter = journal();
        shorter.inputs.pop();
        assert_eq!(Journal::read(&text[..cut]), Ok(shorter));
    }

    #[test]
    fn what_is_no_journal_is_named() {
        let whole = journal().to_string();
        for (text, expected) in [
            (String::new(), "it has no first line"),
            ("{}\n".to_owned(), "line 1: format: invalid type: null"),
            (
                whole.replace("\"format\":1", "\"format\":2"),
                "line 1: it has format 2, and format 1",
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
    fn a_journal_is_played_to_its_end() {
        assert_eq!(journal().check(), Ok(()));
    }

    #[test]
    fn what_cannot_begin_is_wrong_from_the_beginning() {
        let mut journal = journal();
        journal.config.window_events_max = 0;
        assert_eq!(journal.check().unwrap_err().0, 0);
    }
}
