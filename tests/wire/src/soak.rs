//! Soaking: round after round of faults on one server, and what is left between them.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rejoin_tests::world::Tally;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::knobs::Knobs;
use crate::there::{Programs, Served, judge};

/// What a server was like after a round, when nobody was there.
#[derive(Clone, Copy, Debug)]
struct Rest {
    memory_bytes: u64,
    descriptors: usize,
    children: usize,
}

/// What has become of a server over all rounds.
#[derive(Debug)]
pub struct Soak {
    /// All that was seen.
    pub tally: Tally,
    rests: Vec<Rest>,
}

/// By how much the memory of a server may be more in the last third of its rounds than in
/// the second one, in the middle: a sixteenth, and what the allocator may keep.
const GROWTH_MAX: u64 = 16;
const ALLOCATOR_BYTES: u64 = 2 << 20;
/// How many rounds it takes to tell.
const ROUNDS_MIN: usize = 6;
/// How long the system may take to close what a client has left.
const CLOSING_MAX: Duration = Duration::from_secs(10);
/// How long nothing is added to journals when all is written.
const WRITTEN: Duration = Duration::from_millis(300);

/// Plays rounds on one server for a while. `report` is told of each.
///
/// # Errors
///
/// What was wrong first: a round, or what was left.
pub fn soak(
    knobs: &Knobs,
    programs: &Programs,
    time: Duration,
    report: &mut dyn FnMut(&Soak),
) -> Result<Soak> {
    let waits = Builder::new_current_thread().enable_time().build()?;
    let served = Served::begin(knobs, programs)?;
    let before = served.program.descriptors()?;
    let begun = Instant::now();
    let mut soak = Soak { tally: Tally::default(), rests: Vec::new() };
    for round in 0.. {
        if begun.elapsed() >= time && soak.rests.len() >= ROUNDS_MIN {
            break;
        }
        let knobs = knobs.of_round(round);
        let judged = served.play(&knobs).and_then(|world| {
            // What cannot be read there is missed by the judge.
            let _ = waits.block_on(settle(served.files.journals.path()));
            judge(&knobs, &world, &served.files)
        });
        soak.tally.merge(&judged.map_err(|failure| anyhow::anyhow!("{}", failure.keep()))?);
        for journal in fs::read_dir(served.files.journals.path())? {
            fs::remove_file(journal?.path())?;
        }
        let known = before.max(soak.descriptors());
        soak.rests.push(waits.block_on(rest(&served, known))?);
        report(&soak);
    }
    soak.check()?;
    served.end().map_err(anyhow::Error::msg)?;
    Ok(soak)
}

/// Waits until nothing is added to journals any more.
async fn settle(journals: &Path) -> io::Result<()> {
    let size = || -> io::Result<u64> {
        fs::read_dir(journals)?.map(|file| Ok(file?.metadata()?.len())).sum()
    };
    let mut known = size()?;
    loop {
        sleep(WRITTEN).await;
        let now = size()?;
        if now == known {
            return Ok(());
        }
        known = now;
    }
}

/// Waits until a server has as few files and sockets open as the first time, and looks at it.
async fn rest(served: &Served, known: usize) -> Result<Rest> {
    let program = &served.program;
    let end = Instant::now() + CLOSING_MAX;
    let mut descriptors = program.descriptors()?;
    while descriptors > known && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
        descriptors = program.descriptors()?;
    }
    let children = program.children().len();
    Ok(Rest { memory_bytes: program.memory_bytes()?, descriptors, children })
}

impl Soak {
    /// Returns how many files and sockets were open after the first round, where what is
    /// opened once for all is open.
    fn descriptors(&self) -> usize {
        self.rests.first().map_or(0, |rest| rest.descriptors)
    }

    /// Checks that nothing grows.
    fn check(&self) -> Result<()> {
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
        let (earlier, later) = self.memory();
        let bound = earlier + earlier / GROWTH_MAX + ALLOCATOR_BYTES;
        ensure!(later <= bound, "the memory has grown from {earlier} to {later} bytes");
        Ok(())
    }

    /// Returns the memory in the middle of the second third, and of the last one.
    fn memory(&self) -> (u64, u64) {
        let third = self.rests.len() / 3;
        let middle = |rests: &[Rest]| {
            let mut bytes: Vec<u64> = rests.iter().map(|rest| rest.memory_bytes).collect();
            bytes.sort_unstable();
            bytes.get(bytes.len() / 2).copied().unwrap_or_default()
        };
        let (earlier, last) = self.rests.split_at(2 * third);
        (middle(earlier.get(third..).unwrap_or_default()), middle(last))
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |kind| self.tally.count(kind);
        write!(
            f,
            "{} rounds, {} sessions, {} requests, {} events, {} resumes, {} replays, {} gaps",
            count("worlds"),
            count("sessions"),
            count("requests"),
            count("events seen"),
            count("resumes"),
            count("replays"),
            count("gaps"),
        )?;
        if let Some(rest) = self.rests.last() {
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

    const MIB: u64 = 1 << 20;

    fn soak(mebibytes: [u64; 6]) -> Soak {
        let rest = |mebibytes| Rest { memory_bytes: mebibytes * MIB, descriptors: 12, children: 1 };
        Soak { tally: Tally::default(), rests: mebibytes.map(rest).to_vec() }
    }

    fn wrong(soak: &Soak) -> String {
        soak.check().map_or_else(|wrong| wrong.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn memory_may_go_up_and_down() {
        assert_eq!(wrong(&soak([10, 19, 20, 24, 19, 21])), "nothing");
    }

    #[test]
    fn memory_may_not_grow() {
        let grown = format!("the memory has grown from {} to {} bytes", 20 * MIB, 26 * MIB);
        assert_eq!(wrong(&soak([10, 15, 18, 20, 22, 26])), grown);
    }

    #[test]
    fn no_file_stays_open() {
        let mut soak = soak([10; 6]);
        soak.rests[5].descriptors += 1;
        assert_eq!(wrong(&soak), "13 files and sockets are open, and were 12");
    }

    #[test]
    fn no_process_stays() {
        let mut soak = soak([10; 6]);
        soak.rests[3].children += 1;
        assert_eq!(wrong(&soak), "there are 2 processes, and were 1");
    }
}
