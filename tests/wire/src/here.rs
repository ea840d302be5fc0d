//! Worlds in this process, in virtual time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rejoin::{SessionManager, StreamableHttp, journal::Journal};
use rejoin_tests::world::{self, Tally, smaller};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

use crate::backend::{Backends, HeardBy};
use crate::failure::Failure;
use crate::knobs::Knobs;
use crate::play::{judge_all, play};
use crate::sabotage::Sabotaged;
use crate::server::Server;
use crate::world::World;

/// For how long faults happen at most.
const FAULTS_MAX: Duration = Duration::from_secs(48 * 3_600);
/// The most that is written to the journals of a world, in bytes.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// Runs a world in this process, and has every session of it judged.
///
/// # Errors
///
/// What was wrong first.
pub fn run_here(knobs: &Knobs) -> Result<Tally, Box<Failure>> {
    let wrong = |what: String| Failure::new(knobs, what);
    let journals = tempfile::tempdir().map_err(|error| wrong(error.to_string()))?;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(knobs, &journals))));
    let (world, heard, lived) = match lived {
        Ok(Ok(lived)) => lived,
        Ok(Err(error)) => return Err(wrong(error)),
        Err(_) => return Err(wrong("it panicked".to_owned())),
    };
    let mut left = world.take();
    // The journal is whole when the last manager is gone.
    drop((runtime, world));
    if left.wrong.is_none() {
        lived.map_err(wrong)?;
    }
    judge_all(knobs, &mut left, &heard, journals.path())?;
    left.tally.add("worlds");
    Ok(left.tally)
}

/// Returns a failure in as small a world as fails.
#[must_use]
pub fn shrink_here(failure: Box<Failure>) -> Box<Failure> {
    let knobs = failure.knobs.clone();
    let fails =
        |world: &world::Knobs| run_here(&Knobs { world: world.clone(), ..knobs.clone() }).err();
    smaller(failure.knobs.world.clone(), failure, fails).1
}

type Lived = (Arc<World>, HeardBy, Result<(), String>);

async fn live(knobs: &Knobs, journals: &TempDir) -> Result<Lived, String> {
    let is_calm = Arc::new(AtomicBool::new(false));
    let backends = Backends::new(Arc::new(knobs.clone()), Arc::clone(&is_calm));
    let heard = backends.heard();
    let journal = Journal::begin(journals.path(), JOURNAL_BYTES_MAX);
    let journal = journal.map_err(|error| error.to_string())?;
    let manager = SessionManager::with_journal(backends, knobs.settings(), journal);
    let manager = manager.map_err(|error| error.to_string())?;
    let service = StreamableHttp::new(manager.clone(), knobs.http_settings());
    let service = service.map_err(|error| error.to_string())?;
    let service = Sabotaged::new(service, knobs.world.sabotage, knobs.world.seed.is_multiple_of(2));
    let server = Server::Here { service, room: knobs.world.room };
    let world = World::new(knobs.clone(), server, is_calm);
    let mut lived = play(&world, FAULTS_MAX).await;
    if lived.is_ok() {
        lived = rest(knobs, &manager).await;
    }
    manager.close_all();
    Ok((world, heard, lived))
}

/// Waits until nothing is left of what clients have left.
async fn rest(knobs: &Knobs, manager: &SessionManager) -> Result<(), String> {
    let bound = knobs.rest_bound();
    let end = Instant::now() + bound;
    // The deadline queue has one.
    let tasks = || Handle::current().metrics().num_alive_tasks().saturating_sub(1);
    while manager.sessions() > 0 || tasks() > 0 {
        if Instant::now() >= end {
            let (sessions, tasks) = (manager.sessions(), tasks());
            return Err(format!("{bound:?} later, {sessions} sessions and {tasks} tasks are left"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
