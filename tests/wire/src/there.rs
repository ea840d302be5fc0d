//! Worlds over sockets, whose server is the program, in real time.

use std::fs;
use std::io;
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

/// For how long faults happen in a round of a soak.
const FAULTS_SOAKING: Duration = Duration::from_secs(15);
/// How long it takes to make the requests of a world where all goes well.
const FAULTS: Duration = Duration::from_secs(60);

/// Returns for how long faults happen at most: each request may wait for as long as its
/// client has patience, and then some more.
fn faults_max(knobs: &Knobs) -> Duration {
    if knobs.is_soaking {
        return FAULTS_SOAKING;
    }
    let turns = knobs.world.requests.div_ceil(knobs.world.at_once);
    let turns = u32::try_from(turns).unwrap_or(u32::MAX);
    FAULTS + turns * (knobs.world.patience + Duration::from_secs(1))
}

/// The programs that a world over sockets is made of.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The one under test.
    pub rejoin: PathBuf,
    /// The command that calls [`run_child`](crate::run_child), to be the backend of a session;
    /// its last argument, the folder to write in, is added to it.
    pub child: Vec<String>,
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
    let files = served.end().map_err(|error| wrong(error.to_string()))?;
    let judged = judge(knobs, &world, &files);
    let (tally, judged) = judged.map_err(|error| wrong(error.to_string()))?;
    judged.into_iter().next().map_or(Ok(tally), |failure| Err(Box::new(failure).keep()))
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

impl Files {
    /// Removes what was written down.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for folder in [&self.journals, &self.heard] {
            for file in fs::read_dir(folder.path())? {
                fs::remove_file(file?.path())?;
            }
        }
        Ok(())
    }
}

impl Served {
    pub(crate) fn begin(knobs: &Knobs, programs: &Programs) -> anyhow::Result<Self> {
        let files = Files { journals: tempfile::tempdir()?, heard: tempfile::tempdir()? };
        let command = match knobs.kind {
            Kind::Child => {
                let heard = files.heard.path().display().to_string();
                programs.child.iter().cloned().chain([heard]).collect()
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
            play(&world, faults_max(knobs)).await?;
            self.rest(knobs).await
        });
        if let Some(what) = self.program.wrong() {
            return Err(wrong(what));
        }
        if !world.is_wrong() {
            lived.map_err(wrong)?;
        }
        Ok(world)
    }

    /// Waits until the program has nothing left of what clients have left.
    pub(crate) async fn rest(&self, knobs: &Knobs) -> Result<(), String> {
        let program = &self.program;
        let bound = knobs.rest_bound();
        let end = Instant::now() + bound;
        loop {
            let children = program.children().map_err(|error| error.to_string())?;
            let sessions = program.sessions();
            if sessions == 0 && children.len() == guards(knobs.kind) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(format!(
                    "{bound:?} later, there are {sessions} sessions, {children:?}"
                ));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the program, and returns what was written down.
    pub(crate) fn end(self) -> anyhow::Result<Files> {
        self.program.end()?;
        Ok(self.files)
    }
}

/// Returns how many processes the program has that are no server of a session: its guard.
const fn guards(kind: Kind) -> usize {
    match kind {
        Kind::Child => 1,
        Kind::Task | Kind::Handler | Kind::Demo => 0,
    }
}

/// Judges the sessions of a world, all of which are over, and returns what was seen, and what
/// was wrong in each.
pub(crate) fn judge(
    knobs: &Knobs,
    world: &World,
    files: &Files,
) -> io::Result<(Tally, Vec<Failure>)> {
    let mut left = world.take();
    let heard = HeardBy::take(files.heard.path())?;
    let mut wrong = judge_all(knobs, &mut left, &heard, files.journals.path())?;
    let outlived = left.tally.count("ends: otherwise");
    if outlived > 0 {
        let what = format!("{outlived} sessions lived until the program ended");
        wrong.push(*Failure::new(knobs, what));
    }
    left.tally.add("worlds");
    Ok((left.tally, wrong))
}
