//! Rounds: everybody does the same work in turn, so that a drift of the machine is shared.

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What a number of it is.
    pub(crate) unit: &'static str,
    /// Whether a smaller number is a better one.
    pub(crate) less_is_better: bool,
}

impl Metric {
    /// A metric of which one wants little.
    pub(crate) const fn cost(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, less_is_better: true }
    }

    /// A metric of which one wants much.
    pub(crate) const fn rate(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, less_is_better: false }
    }
}

/// What one round of one subject showed.
pub(crate) type Readings = Vec<(Metric, f64)>;

/// Somebody who does some work, again and again.
pub(crate) struct Trial {
    /// What the work is.
    pub(crate) workload: String,
    /// Who it is.
    pub(crate) subject: &'static str,
    /// Does the work once.
    pub(crate) round: Box<dyn FnMut() -> Result<Readings>>,
}

/// The readings of all rounds, of one subject at one work, and one metric.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// What the work is.
    pub(crate) workload: String,
    /// Who it is.
    pub(crate) subject: &'static str,
    /// What was measured.
    pub(crate) metric: Metric,
    /// One value for each round.
    pub(crate) rounds: Vec<f64>,
}

/// Runs rounds, each of which begins with another trial.
pub(crate) fn interleave(rounds: usize, trials: &mut [Trial]) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for round in 0..rounds {
        let count = trials.len();
        for turn in 0..count {
            let trial = trials.get_mut((round + turn) % count).context("no such trial")?;
            let readings = (trial.round)().with_context(|| trial.subject)?;
            for (metric, value) in readings {
                let (work, subject) = (&trial.workload, trial.subject);
                let is_it = |one: &&mut Series| {
                    one.workload == *work && one.subject == subject && one.metric == metric
                };
                if let Some(known) = series.iter_mut().find(is_it) {
                    known.rounds.push(value);
                } else {
                    let (work, rounds) = (work.clone(), vec![value]);
                    series.push(Series { workload: work, subject, metric, rounds });
                }
            }
        }
    }
    Ok(series)
}

/// Which runtime the work is done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// Everything takes turns on one thread.
    CurrentThread,
    /// Two threads.
    MultiThread,
}

impl Flavor {
    /// Makes a runtime.
    pub(crate) fn runtime(self) -> Result<Runtime> {
        let mut builder = match self {
            Self::CurrentThread => tokio::runtime::Builder::new_current_thread(),
            Self::MultiThread => tokio::runtime::Builder::new_multi_thread(),
        };
        Ok(builder.worker_threads(2).enable_all().build()?)
    }
}

/// Work that is done in this process.
pub(crate) trait Workload: Send + Sized + 'static {
    /// Does it once.
    fn round(&mut self) -> impl Future<Output = Result<Readings>> + Send;
}

/// Makes a trial of work on a runtime of its own, where it is prepared first.
pub(crate) fn trial<W: Workload>(
    work: &str,
    subject: &'static str,
    flavor: Flavor,
    prepare: impl Future<Output = Result<W>> + Send + 'static,
) -> Result<Trial> {
    let runtime = flavor.runtime()?;
    let mut prepared = Some(runtime.block_on(async { tokio::spawn(prepare).await? })?);
    let round = Box::new(move || {
        let mut current = prepared.take().context("an earlier round has failed")?;
        let (current, readings) = runtime.block_on(async {
            let done = tokio::spawn(async move {
                let readings = current.round().await;
                (current, readings)
            });
            done.await
        })?;
        prepared = Some(current);
        readings
    });
    Ok(Trial { workload: work.to_owned(), subject, round })
}
