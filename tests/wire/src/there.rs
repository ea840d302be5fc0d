//! Worlds over sockets, whose server is the program, in real time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rejoin_tests::world::Tally;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::backend::HeardBy;
use crate::failure::Failure;
use crate::knobs::{Kind, Knobs};
use crate::options::options;
use crate::play::{judge_all, play};
use crate::program::Program;
use crate::server::Server;
use crate::world::World;

/// For how long faults happen at most.
const FAULTS_MAX: Duration = Duration::from_secs(60);

/// The programs that a world over sockets is made of.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The one under test.
    pub rejoin: PathBuf,
    /// This package's own, which can be the backend of a session.
    pub wire: PathBuf,
}

/// Runs a world over sockets, and has every session of it judged.
///
/// # Errors
///
/// What was wrong first.
pub fn run_there(knobs: &Knobs, programs: &Programs) -> Result<Tally, Box<Failure>> {
    let wrong = |what: String| Failure::new(knobs, what);
    let journals = tempfile::tempdir().map_err(|error| wrong(error.to_string()))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
    let (world, lived) = runtime.block_on(live(knobs, programs, &journals)).map_err(wrong)?;
    let mut left = world.take();
    drop((runtime, world));
    if left.wrong.is_none() {
        lived.map_err(wrong)?;
    }
    judge_all(knobs, &mut left, &HeardBy::default(), journals.path())?;
    match left.tally.count("ends: otherwise") {
        0 => {}
        count => return Err(wrong(format!("{count} sessions lived until the program ended"))),
    }
    left.tally.add("worlds");
    Ok(left.tally)
}

type Lived = (Arc<World>, Result<(), String>);

async fn live(knobs: &Knobs, programs: &Programs, journals: &TempDir) -> Result<Lived, String> {
    let text = |error: anyhow::Error| error.to_string();
    let command = match knobs.kind {
        Kind::Child => {
            let wire = programs.wire.display().to_string();
            vec![wire, "child".to_owned(), knobs.world.seed.to_string()]
        }
        Kind::Task | Kind::Handler | Kind::Demo => Vec::new(),
    };
    let options = options(knobs, journals.path());
    let program = Program::begin(&programs.rejoin, &options, &command).map_err(text)?;
    let server = Server::There(program.address);
    let world = World::new(knobs.clone(), server, Arc::new(AtomicBool::new(false)));
    let mut lived = play(&world, FAULTS_MAX).await;
    if lived.is_ok() {
        lived = rest(knobs, &program).await;
    }
    let wrong = program.wrong();
    let ended = program.end().map_err(text)?;
    if let Some(wrong) = wrong {
        lived = lived.and(Err(format!("the program says: {wrong}")));
    }
    if !ended.success() {
        lived = lived.and(Err(format!("the program ended with {ended}")));
    }
    Ok((world, lived))
}

/// Waits until the program has nothing left of what clients have left.
async fn rest(knobs: &Knobs, program: &Program) -> Result<(), String> {
    let bound = knobs.rest_bound();
    let end = Instant::now() + bound;
    while program.sessions() > 0 || program.children().len() > GUARDS {
        if Instant::now() >= end {
            let (sessions, children) = (program.sessions(), program.children());
            return Err(format!("{bound:?} later, there are {sessions} sessions, {children:?}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How many processes the program has that are no server of a session: its guard.
const GUARDS: usize = 1;
