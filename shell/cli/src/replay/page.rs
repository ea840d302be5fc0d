//! A recorded session as a page that draws its timeline.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Write as _},
    path::Path,
};

use anyhow::Context as _;
use rejoin::{WatchedStep, journal::Reader, rejoin_core::Session};
use serde_json::{Value, json};

use crate::timeline::{Mark, Page, Row, Timeline, What};

/// Maximum number of marks in a page.
const MARKS_MAX: usize = 200_000;

/// Writes the page of a journal to a new file, which only its owner can read.
pub(super) fn write(journal: &Path, page: &Path) -> anyhow::Result<()> {
    let data = data(journal).with_context(|| format!("{}", journal.display()))?;
    let write = |page: &Path| create(page)?.write_all(Page::recorded(&data).html.as_bytes());
    write(page).with_context(|| format!("{}", page.display()))
}

/// Creates a file. One that exists is an error: it might be the journal.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn data(path: &Path) -> anyhow::Result<Value> {
    let mut journal = Reader::new(BufReader::new(File::open(path)?))?;
    let header = journal.header().clone();
    let mut config = header.config.clone();
    // They are more actions, and change nothing else.
    config.activity_reports = true;
    let mut session = Session::new(config.validate()?, header.now);
    let (mut timeline, mut marks) = (Timeline::default(), Vec::new());
    for entry in &mut journal {
        let entry = entry?;
        let step = WatchedStep::replay(&mut session, header.now, entry.now, entry.input);
        timeline.step(&step, &mut marks);
        if marks.len() > MARKS_MAX {
            marks.truncate(MARKS_MAX);
            marks.push(Mark::new(step.at, Row::Session, What::Missing));
            break;
        }
    }
    let facts = json!({ "session": header.session, "version": header.version });
    Ok(json!({ "facts": facts, "marks": marks }))
}
