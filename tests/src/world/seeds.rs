//! Seeds: many worlds, on some threads.

use std::ops::Range;
use std::thread;

use super::Tally;

/// Runs the worlds of some seeds: thread `n` runs every so manyth seed from the `n`th on.
/// Returns what was seen in all of them, once every thread has ended.
///
/// # Errors
///
/// What was wrong first on some thread.
///
/// # Panics
///
/// A thread did.
pub fn run_seeds(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<Tally, String> + Clone + Send + 'static,
) -> Result<Tally, String> {
    let start = |nth| {
        let (mut seeds, run) = (seeds.clone().skip(nth).step_by(threads), run.clone());
        thread::spawn(move || {
            seeds.try_fold(Tally::default(), |mut tally, seed| {
                tally.merge(&run(seed)?);
                Ok::<_, String>(tally)
            })
        })
    };
    let running: Vec<_> = (0..threads).map(start).collect();
    // All of them, lest something be left behind where one has failed.
    let ended: Vec<_> = running.into_iter().map(thread::JoinHandle::join).collect();
    let mut tally = Tally::default();
    for seen in ended {
        tally.merge(&seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(tally)
}
