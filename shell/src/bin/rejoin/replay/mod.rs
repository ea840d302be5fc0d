//! `rejoin replay`: runs a journal through a session again.

mod json;
mod label;
mod transcript;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use rejoin::{
    journal::Reader,
    rejoin_core::{Actions, Input, Instant, Pressure, Rejection, Session},
};

/// What a session was told, and what it did. Bodies are labels of their messages.
struct Step<'a> {
    now: Instant,
    input: Input<String>,
    result: Result<Pressure, Rejection>,
    actions: Actions<String>,
    session: &'a Session<String>,
}

/// Runs a journal, and prints what was told and what was done.
///
/// # Errors
///
/// The file is no journal, or cannot be read: the error names the line.
pub(crate) fn run(path: &Path, is_for_machines: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = print(path, is_for_machines, &mut out).and_then(|()| Ok(out.flush()?));
    match printed {
        // Whoever read it has enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        printed => printed.with_context(|| format!("{}", path.display())),
    }
}

fn print(path: &Path, is_for_machines: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let mut journal = Reader::begin(BufReader::new(File::open(path)?))?;
    let header = journal.header().clone();
    let mut session = Session::new(header.config.clone().validate()?, header.now);
    if !is_for_machines {
        transcript::write_header(out, &header)?;
    }
    for entry in &mut journal {
        let entry = entry?;
        let input = entry.input.map(|head, ()| label::describe(head));
        let mut actions = Actions::new();
        let result = session.handle(entry.now, input.clone(), &mut actions);
        let turn = Step { now: entry.now, input, result, actions, session: &session };
        if is_for_machines {
            json::write_step(out, &turn)?;
        } else {
            transcript::write_step(out, header.now, &turn)?;
        }
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
