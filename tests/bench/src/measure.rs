//! Interleaved rounds: all subjects run the same workload in turn, so that drift of the machine
//! affects all of them.

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

/// A measured quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Whether smaller is better.
    pub(crate) less_is_better: bool,
}

impl Metric {
    /// A metric of which less is better.
    pub(crate) const fn cost(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, less_is_better: true }
    }

    /// A metric of which more is better.
    pub(crate) const fn rate(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, less_is_better: false }
    }
}

/// Values that one round of one subject measured.
pub(crate) type Readings = Vec<(Metric, f64)>;

/// A subject and a workload, run repeatedly.
pub(crate) struct Trial {
    /// Name of the workload.
    pub(crate) workload: String,
    /// Name of the subject.
    pub(crate) subject: &'static str,
    /// Runs the workload once.
    pub(crate) round: Box<dyn FnMut() -> Result<Readings>>,
}

/// The values of one metric in all rounds of one subject and one workload.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Name of the workload.
    pub(crate) workload: String,
    /// Name of the subject.
    pub(crate) subject: &'static str,
    /// The metric.
    pub(crate) metric: Metric,
    /// One value per round.
    pub(crate) rounds: Vec<f64>,
}

/// Runs rounds of all trials, each round starting with another trial.
pub(crate) fn interleave(rounds: usize, trials: &mut [Trial]) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for round in 0..rounds {
        let count = trials.len();
        for turn in 0..count {
            let trial = trials.get_mut((round + turn) % count).context("no such trial")?;
            let readings = (trial.round)().with_context(|| trial.subject)?;
            for (metric, value) in readings {
                let (workload, subject) = (&trial.workload, trial.subject);
                let matches = |one: &&mut Series| {
                    one.workload == *workload && one.subject == subject && one.metric == metric
                };
                if let Some(known) = series.iter_mut().find(matches) {
                    known.rounds.push(value);
                } else {
                    let (workload, rounds) = (workload.clone(), vec![value]);
                    series.push(Series { workload, subject, metric, rounds });
                }
            }
        }
    }
    Ok(series)
}

/// Runtime of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// One thread.
    CurrentThread,
    /// Two threads.
    MultiThread,
}

impl Flavor {
    /// Builds a runtime.
    pub(crate) fn runtime(self) -> Result<Runtime> {
        let mut builder = match self {
            Self::CurrentThread => tokio::runtime::Builder::new_current_thread(),
            Self::MultiThread => tokio::runtime::Builder::new_multi_thread(),
        };
        Ok(builder.worker_threads(2).enable_all().build()?)
    }
}

/// A workload in this process.
pub(crate) trait Workload: Send + Sized + 'static {
    /// Runs it once.
    fn round(&mut self) -> impl Future<Output = Result<Readings>> + Send;
}

/// Creates a trial of a workload on a runtime of its own, and prepares the workload.
pub(crate) fn trial<W: Workload>(
    workload: &str,
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
    Ok(Trial { workload: workload.to_owned(), subject, round })
}

/// Formats a count with its noun.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
