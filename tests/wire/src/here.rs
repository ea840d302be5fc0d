//! Worlds in this process, in virtual time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rejoin::{SessionManager, StreamableHttp, journal::Journal};
use rejoin_core::CloseReason;
use rejoin_tests::world::{self, Chance, Fault, Tally, smaller, way};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

use crate::alarm::Alarm;
use crate::backend::{Backends, Opened, Scene};
use crate::failure::Failure;
use crate::knobs::Knobs;
use crate::play::{judge_all, play};
use crate::sabotage::{Sabotage, Sabotaged};
use crate::server::Server;
use crate::world::World;

/// For how long faults happen at most.
const FAULTS_MAX: Duration = Duration::from_secs(48 * 3_600);
/// The most that is written to the journals of a world, in bytes.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;
/// Which luck whoever runs the server has.
const OPERATOR: u64 = 16;

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
    let alarm = Alarm::listen();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(knobs, &journals))));
    if let Some(rung) = alarm.rung() {
        return Err(wrong(rung));
    }
    let (world, opened, lived) = match lived {
        Ok(Ok(lived)) => lived,
        Ok(Err(error)) => return Err(wrong(error)),
        Err(_) => return Err(wrong("it panicked, and nobody knows where".to_owned())),
    };
    let mut left = world.take();
    // The journal is whole when the last manager is gone.
    drop((runtime, world));
    let heard = &opened.lock().heard;
    if let Some(rung) = alarm.rung() {
        return Err(wrong(rung));
    }
    if let Some(garbled) = heard.garbled() {
        return Err(wrong(format!("a backend heard what is no message: {garbled}")));
    }
    if left.wrong.is_none() {
        lived.map_err(wrong)?;
    }
    let judged = judge_all(knobs, &mut left, heard, journals.path());
    let judged = judged.map_err(|error| wrong(error.to_string()))?;
    judged.into_iter().next().map_or(Ok(()), |failure| Err(Box::new(failure)))?;
    left.tally.add("worlds");
    Ok(left.tally)
}

/// Returns a failure in as small a world as fails in the same way.
#[must_use]
pub fn shrink_here(failure: Box<Failure>) -> Box<Failure> {
    let knobs = failure.knobs.clone();
    let known = way(&failure.what);
    let fails = |world: &world::Knobs| {
        let failure = run_here(&Knobs { world: world.clone(), ..knobs.clone() }).err();
        failure.filter(|failure| way(&failure.what) == known)
    };
    smaller(failure.knobs.world.clone(), failure, fails).1.keep()
}

type Lived = (Arc<World>, Arc<Mutex<Opened>>, Result<(), String>);

async fn live(knobs: &Knobs, journals: &TempDir) -> Result<Lived, String> {
    let scene = Scene::new(knobs.clone());
    let backends = Backends::new(scene.clone());
    let opened = backends.record();
    let journal = Journal::create(journals.path(), JOURNAL_BYTES_MAX);
    let journal = journal.map_err(|error| error.to_string())?;
    let mut settings = knobs.settings();
    settings.session.shadows_max += usize::from(knobs.sabotage == Some(Sabotage::Loosens));
    let manager = SessionManager::with_journal(backends, settings, journal);
    let manager = manager.map_err(|error| error.to_string())?;
    let service = StreamableHttp::new(manager.clone(), knobs.http_settings());
    let service = service.map_err(|error| error.to_string())?;
    let service = Sabotaged::new(service, knobs.sabotage, knobs.world.seed.is_multiple_of(2));
    let buffers = knobs.line.map(|line| line.buffers);
    let server = Server::Here { service, room: knobs.world.room, buffers };
    let world = World::new(knobs.clone(), server, scene.is_calm);
    let mut lived = tokio::select! {
        biased;
        lived = play(&world, FAULTS_MAX) => lived,
        () = operate(&world, &manager, &opened) => Ok(()),
    };
    if lived.is_ok() {
        lived = rest(knobs, &manager).await;
    }
    manager.close_all();
    world.tally.lock().merge(&scene.tally.lock());
    Ok((world, opened, lived))
}

/// Ends a session now and then, as whoever runs a server may do.
async fn operate(world: &World, manager: &SessionManager, opened: &Mutex<Opened>) {
    let mut luck = Chance::new(world.knobs.world.seed, OPERATOR, 0);
    loop {
        sleep(luck.millis(10, 600)).await;
        if !world.strikes(&mut luck, Fault::Shutdown) {
            continue;
        }
        let session = luck.pick(&opened.lock().sessions);
        if let Some(session) = session.and_then(|id| manager.session(id).ok()) {
            session.close(CloseReason::ServerShutdown);
            world.tally.lock().struck(Fault::Shutdown);
        }
    }
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
