//! A recorded session as a page that draws its timeline.

use std::{
    fs::File,
    io::{BufReader, Write as _},
    path::Path,
};

use anyhow::Context as _;
use rejoin::{WatchedStep, journal::Reader, rejoin_core::Session};
use serde_json::{Value, json};

use crate::timeline::{Mark, Page, Row, Timeline, What};

/// Maximum number of marks in a page.
const MARKS_MAX: usize = 200_000;

/// Writes the page of a journal to a file.
pub(super) fn write(journal: &Path, page: &Path) -> anyhow::Result<()> {
    let data = data(journal).with_context(|| format!("{}", journal.display()))?;
    let write = |page: &Path| File::create(page)?.write_all(Page::recorded(&data).html.as_bytes());
    write(page).with_context(|| format!("{}", page.display()))
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
