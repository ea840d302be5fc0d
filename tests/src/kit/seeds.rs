//! Runs many seeds on several threads.

use std::ops::Range;
use std::thread;

use super::Coverage;

/// Runs the simulations of some seeds: thread `n` runs seeds `n`, `n + threads`, and so on.
/// Returns the coverage of all of them, once every thread has ended.
///
/// # Errors
///
/// The first failure of some thread.
///
/// # Panics
///
/// If a thread panicked.
pub fn run_seeds(
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
