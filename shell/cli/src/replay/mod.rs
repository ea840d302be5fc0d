//! `rejoin replay`: replay of a journal in a new session, whose actions are printed or drawn.

mod json;
mod page;
mod transcript;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use rejoin::{
    journal::Reader,
    rejoin_core::{Actions, Head, Input, Instant, Rejection, Session},
};

use crate::timeline::describe;

/// An input of a session and its result. Message bodies are replaced by labels.
struct Step {
    now: Instant,
    input: Input<String>,
    result: Result<(), Rejection>,
    actions: Actions<String>,
}

/// Replays a journal, and prints each input and its actions, or writes a page that draws them.
///
/// # Errors
///
/// The file is not a journal, or cannot be read: the error names the line. Or the page cannot be
/// written.
pub(crate) fn run(path: &Path, as_json: bool, html: Option<&Path>) -> anyhow::Result<()> {
    if let Some(html) = html {
        return page::write(path, html);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = print(path, as_json, &mut out).and_then(|()| Ok(out.flush()?));
    match printed {
        // The reader of the output has closed it, as `head` does.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        printed => printed.with_context(|| format!("{}", path.display())),
    }
}

fn print(path: &Path, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let mut journal = Reader::new(BufReader::new(File::open(path)?))?;
    let header = journal.header().clone();
    let mut session = Session::new(header.config.clone().validate()?, header.now);
    if !as_json {
        transcript::write_header(out, &header)?;
    }
    for entry in &mut journal {
        let entry = entry?;
        let label = |head: &Head, (): &()| describe(head);
        let input = entry.input.map(label, label);
        let mut actions = Actions::new();
        let result = session.handle(entry.now, input.clone(), &mut actions);
        let result = result.map_err(|rejected| rejected.reason);
        let step = Step { now: entry.now, input, result, actions };
        if as_json {
            json::write_step(out, &step)?;
        } else {
            transcript::write_step(out, header.now, &step)?;
        }
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
