//! The play of a world: faults first, then none.

use std::fmt::Write as _;
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

/// Plays a world from its beginning until all clients have gone, where faults happen for
/// `faults_max` at most.
pub(crate) async fn play(world: &Arc<World>, faults_max: Duration) -> Result<(), String> {
    let mut clients = JoinSet::new();
    for no in world.desks.keys() {
        clients.spawn(live(Arc::clone(world), *no));
    }
    let made = timeout(faults_max, world.until_all(Desk::is_made)).await;
    world.heal();
    made.map_err(|_| format!("after {faults_max:?}, some requests were not even made"))?;
    let bound = world.knobs.settle_bound();
    let settled = timeout(bound, world.until_all(Desk::is_settled)).await;
    world.part();
    settled.map_err(|_| unsettled(world, bound))?;
    let bound = world.knobs.rest_bound();
    let gone = timeout(bound, async {
        while let Some(joined) = clients.join_next().await {
            joined.map_err(|error| format!("a client failed: {error}"))?;
        }
        Ok(())
    });
    gone.await.map_err(|_| format!("after {bound:?}, some clients have not gone"))?
}

fn unsettled(world: &World, bound: Duration) -> String {
    let mut text = format!("after {bound:?} without faults, some requests have not settled:");
    for visit in world.take_visits(|_| true) {
        let record = visit.record.lock();
        let open = record.calls.iter().filter(|it| it.outcome.is_none() && !it.is_refused);
        for call in open {
            // Writing to memory does not fail.
            let _ = write!(text, "\n    {} {call:?}", visit.name);
        }
    }
    for (no, desk) in &world.desks {
        let _ = write!(text, "\n    client {no}: {desk:?}");
    }
    text
}

/// Judges what is left of a world, all of whose sessions are over.
pub(crate) fn judge_all(
    knobs: &Knobs,
    left: &mut Left,
    heard: &HeardBy,
    journals: &Path,
) -> Result<(), Box<Failure>> {
    let wrong = |what: String| Failure::new(knobs, what);
    if let Some((visit, what)) = left.wrong.take() {
        return Err(match visit {
            Some(visit) => Failure::of(knobs, what, &visit, journals),
            None => wrong(what),
        });
    }
    let files = std::fs::read_dir(journals).map_err(|error| wrong(error.to_string()))?;
    let mut paths = Vec::new();
    for file in files {
        paths.push(file.map_err(|error| wrong(error.to_string()))?.path());
    }
    paths.sort();
    for visit in &left.visits {
        if !paths.iter().any(|path| path.ends_with(file_of(&visit.session))) {
            let what = "there is no journal of a session".to_owned();
            return Err(Failure::of(knobs, what, visit, journals));
        }
    }
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let visit = left.visits.iter().find(|visit| path.ends_with(file_of(&visit.session)));
        let judged = judge_one(knobs, visit.map(|it| &**it), heard, &path, &text, &mut left.tally);
        judged.map_err(|what| match visit {
            Some(visit) => Failure::of(knobs, what, visit, journals),
            None => wrong(what).with_journal(text),
        })?;
    }
    Ok(())
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
