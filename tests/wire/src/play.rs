//! The play of a world: faults first, then none.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rejoin_tests::{journal::Journal, world::Tally};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::backend::HeardBy;
use crate::client::live;
use crate::failure::{Failure, file_of};
use crate::judge::{Case, judge};
use crate::knobs::Knobs;
use crate::visit::Visit;
use crate::world::{Desk, Left, World};

/// Plays a world from its beginning until all clients have gone.
///
/// Faults happen until all requests are made. Where that takes longer than `faults_max`,
/// something is wrong, but not in a soak: there each client makes one more without faults.
pub(crate) async fn play(world: &Arc<World>, faults_max: Duration) -> Result<(), String> {
    let mut clients = JoinSet::new();
    for no in world.desks.keys() {
        clients.spawn(live(Arc::clone(world), *no));
    }
    let made = timeout(faults_max, world.until_all(Desk::is_made)).await;
    world.heal();
    if made.is_err() && world.knobs.is_soaking {
        world.withdraw();
    } else if made.is_err() {
        let what = format!("after {faults_max:?}, some requests were not even made:");
        return Err(accuse(world, what, Desk::is_made));
    }
    let bound = world.knobs.settle_bound();
    let settled = timeout(bound, world.until_all(Desk::is_settled)).await;
    world.part();
    settled.map_err(|_| {
        let what = format!("after {bound:?} without faults, some requests have not settled:");
        accuse(world, what, Desk::is_settled)
    })?;
    let bound = world.knobs.rest_bound();
    let gone = timeout(bound, async {
        while let Some(joined) = clients.join_next().await {
            joined.map_err(|error| format!("a client failed: {error}"))?;
        }
        Ok(())
    });
    gone.await.map_err(|_| format!("after {bound:?}, some clients have not gone"))?
}

/// How many requests are shown.
const SHOWN_MAX: usize = 20;

/// Says what is wrong, what is open, and how far each client is; and that it is wrong in the
/// session of a client that is not so far.
fn accuse(world: &World, what: String, is_so: impl Fn(&Desk) -> bool) -> String {
    let visits = world.visits();
    let mut text = what;
    let mut left = SHOWN_MAX;
    for visit in &visits {
        let record = visit.record.lock();
        let open = record.calls.iter().filter(|it| it.outcome.is_none() && !it.is_refused);
        for call in open.take(left) {
            left -= 1;
            // Writing to memory does not fail.
            let _ = write!(text, "\n    {} {call:?}", visit.name);
        }
    }
    for (no, desk) in &world.desks {
        let _ = write!(text, "\n    client {no}: {desk:?}");
    }
    let mut late = world.desks.iter().filter(|(_, desk)| !is_so(desk));
    let last = late.find_map(|(no, _)| {
        let client = format!("{no}/");
        visits.iter().rfind(|visit| visit.name.starts_with(&client))
    });
    world.blame(last, text.clone());
    text
}

/// Judges what is left of a world, all of whose sessions are over. Returns what was wrong in
/// each of them, or in the play.
pub(crate) fn judge_all(
    knobs: &Knobs,
    left: &mut Left,
    heard: &HeardBy,
    journals: &Path,
) -> io::Result<Vec<Failure>> {
    let mut wrong = Vec::new();
    if let Some((visit, what)) = left.wrong.take() {
        // The sessions were not played to their ends.
        wrong.push(*match visit {
            Some(visit) => Failure::of(knobs, what, &visit, journals),
            None => Failure::new(knobs, what),
        });
        return Ok(wrong);
    }
    let files = fs::read_dir(journals)?.map(|file| Ok(file?.path()));
    let mut paths = files.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for visit in &left.visits {
        if !paths.iter().any(|path| path.ends_with(file_of(&visit.session))) {
            let what = "there is no journal of a session".to_owned();
            wrong.push(*Failure::of(knobs, what, visit, journals));
        }
    }
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let visit = left.visits.iter().find(|visit| path.ends_with(file_of(&visit.session)));
        let judged = judge_one(knobs, visit.map(|it| &**it), heard, &path, &text, &mut left.tally);
        if let Err(what) = judged {
            wrong.push(*match visit {
                Some(visit) => Failure::of(knobs, what, visit, journals),
                None => Failure::new(knobs, what).with_journal(text),
            });
        }
    }
    Ok(wrong)
}

fn judge_one(
    knobs: &Knobs,
    visit: Option<&Visit>,
    heard: &HeardBy,
    path: &Path,
    text: &str,
    tally: &mut Tally,
) -> Result<(), String> {
    let journal = Journal::read(text)?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let heard = heard.of(&name.unwrap_or_default(), visit.map(|visit| visit.name.as_str()));
    judge(&Case { knobs, journal: &journal, visit, heard: heard.as_ref() }, tally)
}
