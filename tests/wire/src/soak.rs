//! Soaking: round after round of faults on one server, and what is left between them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rejoin_core::{Actions, Session};
use rejoin_tests::journal::Journal;
use rejoin_tests::world::Tally;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::knobs::{Kind, Knobs};
use crate::memory::{self, Memory};
use crate::there::{Programs, Served, judge};

/// What a server was like after a round, when nobody was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// How many sessions it had had until then.
    pub(crate) sessions: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) children: usize,
}

/// How many sessions were wrong, as the judge says.
#[derive(Clone, Copy, Debug, Default)]
struct Wrongs {
    /// Something was lost in them.
    lost: u64,
    /// Something came twice.
    doubled: u64,
    otherwise: u64,
}

/// What has become of a server over all rounds.
#[derive(Debug)]
pub struct Soak {
    kind: Kind,
    /// All that was seen.
    pub tally: Tally,
    wrongs: Wrongs,
    rests: Vec<Rest>,
}

/// A server that is soaked.
struct Soaking<'a> {
    knobs: &'a Knobs,
    served: Served,
    waits: Runtime,
    /// How many files and sockets were open at the beginning.
    descriptors: usize,
    soak: Soak,
    say: &'a mut dyn FnMut(&dyn fmt::Display),
}

/// How long the system may take to close what a client has left.
const CLOSING_MAX: Duration = Duration::from_secs(10);
/// How long the journals of sessions that are over may take to be written.
const WRITTEN_MAX: Duration = Duration::from_secs(60);

/// What every soak sees hundreds of times, whatever its luck.
const EXPECTED: [&str; 20] = [
    "ends: deleted",
    "events seen",
    "gaps",
    "links: cut after all was written",
    "links: cut before the first byte",
    "links: cut midway",
    "links: half-open",
    "links: half-open, and found by the server",
    "links: lost by the server alone",
    "links: slow",
    "links: stalled",
    "polls",
    "questions: heard",
    "replays",
    "requests",
    "requests: answered",
    "requests: cancelled",
    "requests: session closed",
    "resumes",
    "signs of life",
];
/// What is seen where there is a process for each session, too.
const EXPECTED_OF_PROCESSES: [&str; 2] = ["ends: backend gone", "failures: backend gone"];

/// Plays rounds on one server for a while. `say` is told of each, and of whatever is wrong.
///
/// # Errors
///
/// It cannot go on.
pub fn soak(
    knobs: &Knobs,
    programs: &Programs,
    time: Duration,
    say: &mut dyn FnMut(&dyn fmt::Display),
) -> Result<Soak> {
    let mut soaking = Soaking::begin(knobs, programs, say)?;
    let begun = Instant::now();
    for round in 0.. {
        if begun.elapsed() >= time && soaking.soak.rests.len() >= memory::ROUNDS_MIN {
            break;
        }
        soaking.play(round)?;
        (soaking.say)(&soaking.soak);
    }
    soaking.end()
}

/// Plays only one of the rounds, on a server of its own.
///
/// # Errors
///
/// It cannot go on.
pub fn soak_round(
    knobs: &Knobs,
    programs: &Programs,
    round: u64,
    say: &mut dyn FnMut(&dyn fmt::Display),
) -> Result<Soak> {
    let mut soaking = Soaking::begin(knobs, programs, say)?;
    soaking.play(round)?;
    soaking.end()
}

impl<'a> Soaking<'a> {
    fn begin(
        knobs: &'a Knobs,
        programs: &Programs,
        say: &'a mut dyn FnMut(&dyn fmt::Display),
    ) -> Result<Self> {
        let waits = Builder::new_current_thread().enable_time().build()?;
        let served = Served::begin(knobs, programs)?;
        let descriptors = served.program.descriptors()?;
        let soak = Soak {
            kind: knobs.kind,
            tally: Tally::default(),
            wrongs: Wrongs::default(),
            rests: Vec::new(),
        };
        Ok(Self { knobs, served, waits, descriptors, soak, say })
    }

    /// Plays a round, has its sessions judged, and looks at the server.
    fn play(&mut self, round: u64) -> Result<()> {
        let knobs = self.knobs.of_round(round);
        let sessions_before = self.served.program.opened();
        let played = self.served.play(&knobs);
        // What is left of a round would be taken for a part of the next one.
        self.waits.block_on(self.served.rest(&knobs)).map_err(anyhow::Error::msg)?;
        let sessions = self.served.program.opened() - sessions_before;
        let files = &self.served.files;
        let late = self.waits.block_on(written(files.journals.path(), sessions)).err();
        let late = late.map(|late| *Failure::new(&knobs, late.to_string()));
        let mut wrong: Vec<Failure> = late.into_iter().collect();
        match played {
            Ok(world) => {
                let (tally, judged) = judge(&knobs, &world, files)?;
                self.soak.tally.merge(&tally);
                wrong.extend(judged);
            }
            Err(failure) => wrong.push(*failure),
        }
        for failure in wrong {
            self.soak.wrongs.add(&failure.what);
            let failure = Box::new(failure).keep();
            let seed = self.knobs.world.seed;
            (self.say)(&format_args!(
                "WRONG in round {round}: {failure}\n\nrerun with \
                 cargo run --release -p rejoin-wire -- soak --seed {seed} --round {round}"
            ));
        }
        if let Some(wrong) = self.served.program.wrong() {
            bail!(wrong);
        }
        files.clear()?;
        let known = self.descriptors.max(self.soak.descriptors());
        self.soak.rests.push(self.waits.block_on(look(&self.served, known))?);
        Ok(())
    }

    fn end(self) -> Result<Soak> {
        self.served.end()?;
        Ok(self.soak)
    }
}

/// Waits until the journals of so many sessions hold the ends of them.
async fn written(journals: &Path, sessions: usize) -> Result<()> {
    let end = Instant::now() + WRITTEN_MAX;
    let mut whole = BTreeSet::new();
    loop {
        for file in fs::read_dir(journals)? {
            let path = file?.path();
            if !whole.contains(&path) && is_whole(&fs::read_to_string(&path)?) {
                whole.insert(path);
            }
        }
        let count = whole.len();
        if count >= sessions {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("{sessions} sessions are over, but only {count} of their journals hold the end");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Returns whether the session of a journal is over where the journal ends.
fn is_whole(text: &str) -> bool {
    let Ok(journal) = Journal::read(text) else { return false };
    let Ok(config) = journal.config.validate() else { return false };
    let mut session = Session::new(config, journal.started_at);
    let mut actions = Actions::new();
    for (now, input) in journal.inputs {
        // What was refused was so in the server, too.
        let _ = session.handle(now, input, &mut actions);
        actions.clear();
    }
    session.close_reason().is_some()
}

/// Waits until a server has as few files and sockets open as the first time, and looks at it.
async fn look(served: &Served, known: usize) -> Result<Rest> {
    let program = &served.program;
    let end = Instant::now() + CLOSING_MAX;
    let mut descriptors = program.descriptors()?;
    while descriptors > known && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
        descriptors = program.descriptors()?;
    }
    Ok(Rest {
        sessions: u64::try_from(program.opened())?,
        memory_bytes: program.memory_bytes()?,
        descriptors,
        children: program.children()?.len(),
    })
}

impl Wrongs {
    fn add(&mut self, what: &str) {
        let says = |words: &[&str]| words.iter().any(|word| what.contains(word));
        if says(&LOST) {
            self.lost += 1;
        } else if says(&DOUBLED) {
            self.doubled += 1;
        } else {
            self.otherwise += 1;
        }
    }

    fn count(self) -> u64 {
        self.lost + self.doubled + self.otherwise
    }
}

/// What the judge says where something was lost.
const LOST: [&str; 9] = [
    "is missing before",
    "have no answer",
    "have not settled",
    "has not settled",
    "never came to the session",
    "never came until",
    "and never did",
    "never heard it",
    "is nowhere",
];
/// What it says where something came twice.
const DOUBLED: [&str; 3] = ["comes again", "was answered twice", "heard twice"];

impl Soak {
    /// Returns how many files and sockets were open after the first round, where what is
    /// opened once for all is open.
    fn descriptors(&self) -> usize {
        self.rests.first().map_or(0, |rest| rest.descriptors)
    }

    /// Returns whether no session was wrong.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.wrongs.count() == 0
    }

    /// Checks that a whole soak was one, and that nothing grows.
    ///
    /// # Errors
    ///
    /// What was wrong first.
    pub fn check(&self) -> Result<()> {
        let first = self.rests.first().context("there was no round")?;
        for rest in &self.rests {
            let (descriptors, children) = (rest.descriptors, rest.children);
            ensure!(
                descriptors <= first.descriptors,
                "{descriptors} files and sockets are open, and were {}",
                first.descriptors
            );
            ensure!(
                children <= first.children,
                "there are {children} processes, and were {}",
                first.children
            );
        }
        memory::check(&self.rests)?;
        let expected = EXPECTED.iter().chain(match self.kind {
            Kind::Child => &EXPECTED_OF_PROCESSES[..],
            Kind::Task | Kind::Handler | Kind::Demo => &[],
        });
        let missing: Vec<_> = expected.filter(|kind| self.tally.count(kind) == 0).collect();
        ensure!(missing.is_empty(), "never seen: {missing:?}");
        Ok(())
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |kind| self.tally.count(kind);
        let Wrongs { lost, doubled, otherwise } = self.wrongs;
        write!(
            f,
            "{} rounds, {} sessions, {} requests, {} events, {} resumes, {} replays, {} gaps; \
             sessions with losses: {lost}, with duplicates: {doubled}, wrong otherwise: {otherwise}",
            count("worlds"),
            count("sessions"),
            count("requests"),
            count("events seen"),
            count("resumes"),
            count("replays"),
            count("gaps"),
        )?;
        if f.alternate() {
            write!(f, "; memory at rest: {}", Memory::of(&self.rests))?;
        } else if let Some(rest) = self.rests.last() {
            let kibibytes = rest.memory_bytes >> 10;
            let (descriptors, children) = (rest.descriptors, rest.children);
            write!(f, "; at rest {kibibytes} KiB, {descriptors} files, {children} processes")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soak() -> Soak {
        let rest = Rest { sessions: 9, memory_bytes: 1 << 20, descriptors: 12, children: 1 };
        let mut tally = Tally::default();
        for kind in EXPECTED {
            tally.add(kind);
        }
        Soak { kind: Kind::Demo, tally, wrongs: Wrongs::default(), rests: vec![rest; 6] }
    }

    fn wrong(soak: &Soak) -> String {
        soak.check().map_or_else(|wrong| wrong.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn no_file_stays_open() {
        let mut soak = soak();
        assert_eq!(wrong(&soak), "nothing");
        soak.rests[5].descriptors += 1;
        assert_eq!(wrong(&soak), "13 files and sockets are open, and were 12");
    }

    #[test]
    fn no_process_stays() {
        let mut soak = soak();
        soak.rests[3].children += 1;
        assert_eq!(wrong(&soak), "there are 2 processes, and were 1");
    }

    #[test]
    fn what_sees_nothing_is_no_soak() {
        let mut soak = soak();
        soak.kind = Kind::Child;
        assert_eq!(wrong(&soak), format!("never seen: {EXPECTED_OF_PROCESSES:?}"));
        soak.tally = Tally::default();
        assert!(wrong(&soak).contains("replays"), "{}", wrong(&soak));
    }

    #[test]
    fn losses_and_duplicates_are_told_apart() {
        let mut wrongs = Wrongs::default();
        wrongs.add("3 of standalone is missing before 5: Chain");
        wrongs.add("Message(7) at 4 comes again, or too late: Chain");
        wrongs.add("request 5 was answered twice");
        wrongs.add("law 2 (deadline): it is over");
        assert_eq!((wrongs.lost, wrongs.doubled, wrongs.otherwise), (1, 2, 1));
        wrongs.add("number 3 was accepted, and the backend never heard it");
        wrongs.add("4 of 1, said after 1s, never came until 9s, on a sound connection since 0s");
        wrongs.add("the backend heard twice what was told once, as number 3");
        assert_eq!((wrongs.lost, wrongs.doubled, wrongs.otherwise), (3, 3, 1));
    }

    #[test]
    fn a_journal_is_whole_when_its_session_is_over() {
        use rejoin_core::{Config, Input, Instant};
        let mut journal =
            Journal { config: Config::default(), started_at: Instant::EPOCH, inputs: Vec::new() };
        assert!(!is_whole(&journal.to_string()));
        journal.inputs.push((Instant::EPOCH, Input::Delete));
        assert!(is_whole(&journal.to_string()));
        assert!(!is_whole(""));
    }
}
