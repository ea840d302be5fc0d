//! Tests that run the simulations of many seeds.

use std::env;
use std::ops::Range;
use std::thread;

use super::Coverage;

/// How a test runs its simulations.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The default number of simulations.
    pub simulations: u64,
    /// The variable that sets another number.
    pub simulations_variable: &'static str,
    /// The variable that sets the first seed, which is 0 by default.
    pub seed_variable: &'static str,
    /// Number of threads.
    pub threads: usize,
    /// The command that runs the test.
    pub command: &'static str,
}

impl Suite {
    /// Runs the simulations, prints what they covered, and returns it. `run` runs one seed.
    ///
    /// # Errors
    ///
    /// The first failure, with the command that runs its seed again; or the counters in
    /// `missing`, if no fewer simulations were run than by default.
    #[expect(clippy::print_stdout, reason = "shown with `--nocapture`")]
    pub fn run(
        &self,
        run: impl Fn(u64) -> Result<Coverage, String> + Clone + Send + 'static,
        missing: impl Fn(&Coverage) -> Vec<&'static str>,
    ) -> Result<(), String> {
        let Self { simulations, simulations_variable, seed_variable, threads, command } = *self;
        let count = variable(simulations_variable).unwrap_or(simulations);
        let first = variable(seed_variable).unwrap_or(0);
        let run = move |seed| {
            run(seed).map_err(|failure| {
                format!(
                    "{failure}\n\nrerun with {seed_variable}={seed} {simulations_variable}=1 {command}"
                )
            })
        };
        let coverage = run_seeds(first..first + count, threads, run)?;
        println!("{count} simulations, coverage:\n{coverage}");
        match missing(&coverage).as_slice() {
            [] => Ok(()),
            _ if count < simulations => Ok(()),
            missing => Err(format!("never hit: {missing:#?}")),
        }
    }
}

/// Returns the number in an environment variable.
#[must_use]
pub fn variable(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Runs the simulations of some seeds: thread `n` runs seeds `n`, `n + threads`, and so on.
/// Returns the coverage of all of them, once every thread has ended, or the first failure of
/// some thread.
fn run_seeds(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<Coverage, String> + Clone + Send + 'static,
) -> Result<Coverage, String> {
    let start = |nth| {
        let (mut seeds, run) = (seeds.clone().skip(nth).step_by(threads), run.clone());
        thread::spawn(move || {
            seeds.try_fold(Coverage::default(), |mut coverage, seed| {
                coverage.merge(&run(seed)?);
                Ok::<_, String>(coverage)
            })
        })
    };
    let running: Vec<_> = (0..threads).map(start).collect();
    // All are joined first, so that no thread outlives a failure.
    let ended: Vec<_> = running.into_iter().map(thread::JoinHandle::join).collect();
    let mut coverage = Coverage::default();
    for result in ended {
        coverage.merge(&result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(coverage)
}
