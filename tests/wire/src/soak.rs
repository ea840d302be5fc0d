//! Soak tests: rounds of faults on one server, and measurements between them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rejoin_core::{Actions, Session};
use rejoin_tests::journal::Journal;
use rejoin_tests::kit::Coverage;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::memory::{self, Memory};
use crate::over_sockets::{Programs, Served, check_sessions};
use crate::parameters::{BackendKind, Parameters};

/// Measurements of an idle server after a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleSample {
    /// Number of sessions opened until then.
    pub(crate) sessions: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) children: usize,
}

/// Number of sessions with failures.
#[derive(Clone, Copy, Debug, Default)]
struct FailureCounts {
    /// A message was lost.
    lost: u64,
    /// A message was duplicated.
    duplicated: u64,
    other: u64,
}

/// The results of all rounds.
#[derive(Debug)]
pub struct Soak {
    kind: BackendKind,
    /// The coverage of all rounds.
    pub coverage: Coverage,
    failures: FailureCounts,
    samples: Vec<IdleSample>,
}

/// A soak that is running.
struct SoakRunner<'a> {
    parameters: &'a Parameters,
    served: Served,
    runtime: Runtime,
    /// Number of open file descriptors at the start.
    descriptors: usize,
    soak: Soak,
    report: &'a mut dyn FnMut(&dyn fmt::Display),
}

/// How long the system may take to close connections that clients have closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the journals of ended sessions may take to be written.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The counters that every soak hits hundreds of times.
const EXPECTED: [&str; 19] = [
    "ends: deleted",
    "events received",
    "gaps",
    "links: cut with unread data",
    "links: cut before the first byte",
    "links: cut after some bytes",
    "links: half-open at the server",
    "links: half-open, closed by the server",
    "links: half-open at the client",
    "links: slow",
    "links: stalled",
    "retry hints",
    "server requests: received",
    "requests",
    "requests: answered",
    "requests: cancelled",
    "requests: session closed",
    "resumes",
    "keep-alive comments",
];
/// The counters that soaks with child processes hit, too.
const EXPECTED_WITH_PROCESSES: [&str; 2] = ["ends: backend gone", "failures: backend gone"];

/// Runs rounds on one server for a duration. `report` is called after each, and for each failure.
///
/// # Errors
///
/// The soak cannot continue.
pub fn soak(
    parameters: &Parameters,
    programs: &Programs,
    time: Duration,
    report: &mut dyn FnMut(&dyn fmt::Display),
) -> Result<Soak> {
    let mut runner = SoakRunner::start(parameters, programs, report)?;
    let started_at = Instant::now();
    for round in 0.. {
        if started_at.elapsed() >= time && runner.soak.samples.len() >= memory::ROUNDS_MIN {
            break;
        }
        runner.run_round(round)?;
        (runner.report)(&runner.soak);
    }
    runner.finish()
}

/// Runs one round, on a server of its own.
///
/// # Errors
///
/// The soak cannot continue.
pub fn soak_round(
    parameters: &Parameters,
    programs: &Programs,
    round: u64,
    report: &mut dyn FnMut(&dyn fmt::Display),
) -> Result<Soak> {
    let mut runner = SoakRunner::start(parameters, programs, report)?;
    runner.run_round(round)?;
    runner.finish()
}

impl<'a> SoakRunner<'a> {
    fn start(
        parameters: &'a Parameters,
        programs: &Programs,
        report: &'a mut dyn FnMut(&dyn fmt::Display),
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let served = Served::start(parameters, programs)?;
        let descriptors = served.program.descriptors()?;
        let soak = Soak {
            kind: parameters.backend,
            coverage: Coverage::default(),
            failures: FailureCounts::default(),
            samples: Vec::new(),
        };
        Ok(Self { parameters, served, runtime, descriptors, soak, report })
    }

    /// Runs a round, checks its sessions, and measures the server.
    fn run_round(&mut self, round: u64) -> Result<()> {
        let parameters = self.parameters.for_round(round);
        let sessions_before = self.served.program.opened();
        let outcome = self.served.run(&parameters);
        // Sessions that are left would count as part of the next round.
        self.runtime
            .block_on(self.served.wait_until_idle(&parameters))
            .map_err(anyhow::Error::msg)?;
        let sessions = self.served.program.opened() - sessions_before;
        let files = &self.served.files;
        let late = self.runtime.block_on(wait_for_journals(files.journals.path(), sessions)).err();
        let late = late.map(|late| *Failure::new(&parameters, late.to_string(), None));
        let mut failures: Vec<Failure> = late.into_iter().collect();
        match outcome {
            Ok(simulation) => {
                let (coverage, checked) = check_sessions(&parameters, &simulation, files)?;
                self.soak.coverage.merge(&coverage);
                failures.extend(checked);
            }
            Err(failure) => failures.push(*failure),
        }
        for failure in failures {
            self.soak.failures.add(&failure.message);
            let failure = Box::new(failure).save_journal();
            let seed = self.parameters.base.seed;
            (self.report)(&format_args!(
                "FAILED in round {round}: {failure}\n\nrerun with \
                 cargo run --release -p rejoin-wire -- soak --seed {seed} --round {round}"
            ));
        }
        if let Some(failure) = self.served.program.reported_error() {
            bail!(failure);
        }
        files.clear()?;
        let known = self.descriptors.max(self.soak.descriptors());
        self.soak.samples.push(self.runtime.block_on(sample(&self.served, known))?);
        Ok(())
    }

    fn finish(self) -> Result<Soak> {
        self.served.stop()?;
        Ok(self.soak)
    }
}

/// Waits until the journals of `sessions` sessions are complete.
async fn wait_for_journals(journals: &Path, sessions: usize) -> Result<()> {
    let end = Instant::now() + JOURNAL_TIMEOUT;
    let mut whole = BTreeSet::new();
    loop {
        for file in fs::read_dir(journals)? {
            let path = file?.path();
            if !whole.contains(&path) && is_complete(&fs::read_to_string(&path)?) {
                whole.insert(path);
            }
        }
        let count = whole.len();
        if count >= sessions {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!(
                "{sessions} sessions have ended, but only {count} of their journals are complete"
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Returns whether a journal contains the end of its session.
fn is_complete(text: &str) -> bool {
    let Ok(journal) = Journal::read(text) else { return false };
    let Ok(config) = journal.config.validate() else { return false };
    let mut session = Session::new(config, journal.started_at);
    let mut actions = Actions::new();
    for (now, input) in journal.inputs {
        // Inputs that were rejected in the server are rejected here, too.
        let _ = session.handle(now, input, &mut actions);
        actions.clear();
    }
    session.close_reason().is_some()
}

/// Waits until a server has as few open file descriptors as the first time, and measures it.
async fn sample(served: &Served, known: usize) -> Result<IdleSample> {
    let program = &served.program;
    let end = Instant::now() + CLOSE_TIMEOUT;
    let mut descriptors = program.descriptors()?;
    while descriptors > known && Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
        descriptors = program.descriptors()?;
    }
    Ok(IdleSample {
        sessions: u64::try_from(program.opened())?,
        memory_bytes: program.memory_bytes()?,
        descriptors,
        children: program.children()?.len(),
    })
}

impl FailureCounts {
    fn add(&mut self, message: &str) {
        let contains_any = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if contains_any(&LOST) {
            self.lost += 1;
        } else if contains_any(&DUPLICATED) {
            self.duplicated += 1;
        } else {
            self.other += 1;
        }
    }

    fn count(self) -> u64 {
        self.lost + self.duplicated + self.other
    }
}

/// Parts of failure messages that mean a loss.
const LOST: [&str; 9] = [
    "is missing before",
    "have no response",
    "have not settled",
    "has not settled",
    "never reached the session",
    "was not received until",
    "never received",
    "never received it",
    "was not recorded",
];
/// Parts of failure messages that mean a duplicate.
const DUPLICATED: [&str; 3] = ["is duplicated", "was answered twice", " twice"];

impl Soak {
    /// Returns the number of open file descriptors after the first round, when permanent ones
    /// are open.
    fn descriptors(&self) -> usize {
        self.samples.first().map_or(0, |sample| sample.descriptors)
    }

    /// Returns whether no session failed.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.failures.count() == 0
    }

    /// Checks that nothing grows, and that all expected counters were hit.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub fn check(&self) -> Result<()> {
        let first = self.samples.first().context("no round was completed")?;
        for sample in &self.samples {
            let (descriptors, children) = (sample.descriptors, sample.children);
            ensure!(
                descriptors <= first.descriptors,
                "{descriptors} file descriptors are open, {} after the first round",
                first.descriptors
            );
            ensure!(
                children <= first.children,
                "there are {children} child processes, {} after the first round",
                first.children
            );
        }
        memory::check(&self.samples)?;
        let expected = EXPECTED.iter().chain(match self.kind {
            BackendKind::Child => &EXPECTED_WITH_PROCESSES[..],
            BackendKind::Task | BackendKind::Handler | BackendKind::Demo => &[],
        });
        let missing: Vec<_> = expected.filter(|kind| self.coverage.hits(kind) == 0).collect();
        ensure!(missing.is_empty(), "never hit: {missing:?}");
        Ok(())
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |kind| self.coverage.hits(kind);
        let FailureCounts { lost, duplicated, other } = self.failures;
        write!(
            f,
            "{} rounds, {} sessions, {} requests, {} events, {} resumes, {} gaps; \
             sessions with losses: {lost}, with duplicates: {duplicated}, with other failures: {other}",
            count("simulations"),
            count("sessions"),
            count("requests"),
            count("events received"),
            count("resumes"),
            count("gaps"),
        )?;
        if f.alternate() {
            write!(f, "; idle memory: {}", Memory::of(&self.samples))?;
        } else if let Some(sample) = self.samples.last() {
            let kibibytes = sample.memory_bytes >> 10;
            let (descriptors, children) = (sample.descriptors, sample.children);
            write!(
                f,
                "; idle: {kibibytes} KiB, {descriptors} descriptors, {children} child processes"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soak() -> Soak {
        let sample =
            IdleSample { sessions: 9, memory_bytes: 1 << 20, descriptors: 12, children: 1 };
        let mut coverage = Coverage::default();
        for kind in EXPECTED {
            coverage.hit(kind);
        }
        Soak {
            kind: BackendKind::Demo,
            coverage,
            failures: FailureCounts::default(),
            samples: vec![sample; 6],
        }
    }

    fn failure(soak: &Soak) -> String {
        soak.check().map_or_else(|failure| failure.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn detects_leaked_descriptors() {
        let mut soak = soak();
        assert_eq!(failure(&soak), "nothing");
        soak.samples[5].descriptors += 1;
        assert_eq!(failure(&soak), "13 file descriptors are open, 12 after the first round");
    }

    #[test]
    fn detects_leaked_processes() {
        let mut soak = soak();
        soak.samples[3].children += 1;
        assert_eq!(failure(&soak), "there are 2 child processes, 1 after the first round");
    }

    #[test]
    fn requires_expected_coverage() {
        let mut soak = soak();
        soak.kind = BackendKind::Child;
        assert_eq!(failure(&soak), format!("never hit: {EXPECTED_WITH_PROCESSES:?}"));
        soak.coverage = Coverage::default();
        assert!(failure(&soak).contains("resumes"), "{}", failure(&soak));
    }

    #[test]
    fn classifies_losses_and_duplicates() {
        let mut failures = FailureCounts::default();
        failures.add("3 of standalone is missing before 5: StreamChecker");
        failures.add("Message(7) at 4 is duplicated or out of order: StreamChecker");
        failures.add("request 5 was answered twice");
        failures.add("law 2 (deadline): it is over");
        assert_eq!((failures.lost, failures.duplicated, failures.other), (1, 2, 1));
        failures.add("number 3 was accepted, but the backend never received it");
        failures.add("4 of 1, recorded after 1s, was not received until 9s, on a fault-free connection since 0s");
        failures.add("the backend received number 3 twice");
        assert_eq!((failures.lost, failures.duplicated, failures.other), (3, 3, 1));
    }

    #[test]
    fn journal_is_complete_when_session_has_ended() {
        use rejoin_core::{Config, Input, Instant};
        let mut journal =
            Journal { config: Config::default(), started_at: Instant::EPOCH, inputs: Vec::new() };
        assert!(!is_complete(&journal.to_string()));
        journal.inputs.push((Instant::EPOCH, Input::Delete));
        assert!(is_complete(&journal.to_string()));
        assert!(!is_complete(""));
    }
}
