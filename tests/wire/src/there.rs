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
    let served = Served::begin(knobs, programs).map_err(|error| wrong(error.to_string()))?;
    let world = served.play(knobs)?;
    let files = served.end().map_err(wrong)?;
    judge(knobs, &world, &files).map_err(Failure::keep)
}

/// The program, serving, and what is written down of it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) program: Program,
    pub(crate) files: Files,
}

/// The journals of sessions, and what their backends heard where those are processes.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) journals: TempDir,
    heard: TempDir,
}

impl Served {
    pub(crate) fn begin(knobs: &Knobs, programs: &Programs) -> anyhow::Result<Self> {
        let files = Files { journals: tempfile::tempdir()?, heard: tempfile::tempdir()? };
        let command = match knobs.kind {
            Kind::Child => {
                let wire = programs.wire.display().to_string();
                let heard = files.heard.path().display().to_string();
                vec![wire, "child".to_owned(), knobs.world.seed.to_string(), heard]
            }
            Kind::Task | Kind::Handler | Kind::Demo => Vec::new(),
        };
        let options = options(knobs, files.journals.path());
        let program = Program::begin(&programs.rejoin, &options, &command)?;
        Ok(Self { program, files })
    }

    /// Plays a world until nothing is left of it but the journals.
    pub(crate) fn play(&self, knobs: &Knobs) -> Result<Arc<World>, Box<Failure>> {
        let wrong = |what: String| Failure::new(knobs, what);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
        let server = Server::There(self.program.address);
        let world = World::new(knobs.clone(), server, Arc::new(AtomicBool::new(false)));
        let lived = runtime.block_on(async {
            play(&world, FAULTS_MAX).await?;
            rest(knobs, &self.program).await
        });
        if let Some(wrong) = self.program.wrong() {
            return Err(Failure::new(knobs, format!("the program says: {wrong}")));
        }
        if !world.is_wrong() {
            lived.map_err(wrong)?;
        }
        Ok(world)
    }

    /// Ends the program, and returns what was written down.
    pub(crate) fn end(self) -> Result<Files, String> {
        let ended = self.program.end().map_err(|error| error.to_string())?;
        if !ended.success() {
            return Err(format!("the program ended with {ended}"));
        }
        Ok(self.files)
    }
}

/// Judges the sessions of a world, all of which are over.
pub(crate) fn judge(knobs: &Knobs, world: &World, files: &Files) -> Result<Tally, Box<Failure>> {
    let mut left = world.take();
    let heard = HeardBy::take(files.heard.path());
    let heard = heard.map_err(|error| Failure::new(knobs, error.to_string()))?;
    judge_all(knobs, &mut left, &heard, files.journals.path())?;
    let outlived = left.tally.count("ends: otherwise");
    if outlived > 0 {
        let what = format!("{outlived} sessions lived until the program ended");
        return Err(Failure::new(knobs, what));
    }
    left.tally.add("worlds");
    Ok(left.tally)
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
