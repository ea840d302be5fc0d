//! Report of a run: figures, and ratios of them.

mod json;
mod summary;
mod text;

pub(crate) use self::text::{print_header, print_section};

use std::{fs, path::Path};

use anyhow::Result;
use rejoin_bench::{picture, table};

use self::summary::Summary;
pub(crate) use self::summary::quantile;
use crate::measure::{Metric, Series};

/// All results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Series>,
    ratios: Vec<Ratio>,
    notes: Vec<String>,
}

/// How many times better a subject was than a baseline: another subject, or itself at another
/// workload.
#[derive(Debug)]
struct Ratio {
    workload: String,
    metric: Metric,
    subject: &'static str,
    baseline: String,
    /// Of the ratios of all rounds.
    summary: Summary,
}

impl Report {
    /// Adds and prints figures.
    pub(crate) fn add(&mut self, series: Vec<Series>) {
        series.iter().for_each(text::print_figure);
        self.figures.extend(series);
    }

    /// Compares two subjects in all metrics that both have.
    pub(crate) fn compare(
        &mut self,
        workload: &str,
        subject: &'static str,
        baseline: &'static str,
    ) {
        for ours in self.series(workload, subject) {
            let same = self.series(workload, baseline);
            if let Some(theirs) = same.into_iter().find(|series| series.metric == ours.metric) {
                self.add_ratio(workload, &ours, baseline.to_owned(), &theirs);
            }
        }
    }

    /// Compares two subjects at several workloads, and each with itself at the first of them.
    pub(crate) fn compare_all(
        &mut self,
        workloads: &[String],
        subject: &'static str,
        baseline: &'static str,
    ) {
        for workload in workloads {
            self.compare(workload, subject, baseline);
        }
        if let [base, others @ ..] = workloads {
            for workload in others {
                self.compare_with_itself(workload, base);
            }
        }
    }

    /// Compares every subject with itself at another workload.
    fn compare_with_itself(&mut self, workload: &str, base: &str) {
        for ours in self.of_workload(workload) {
            let earlier = self.series(base, ours.subject);
            if let Some(before) = earlier.into_iter().find(|series| series.metric == ours.metric) {
                self.add_ratio(workload, &ours, format!("itself, {base}"), &before);
            }
        }
    }

    /// Adds and prints a note.
    pub(crate) fn note(&mut self, note: String) {
        text::print_note(&note);
        self.notes.push(note);
    }

    /// Prints the ratios, and writes the report into a directory.
    pub(crate) fn finish(&self, directory: &Path, seed: u64) -> Result<()> {
        text::print_ratios(&self.ratios);
        self.notes.iter().for_each(|note| text::print_note(note));
        fs::create_dir_all(directory)?;
        let figures = json::write(self, seed);
        fs::write(directory.join("figures.json"), format!("{figures:#}\n"))?;
        fs::write(directory.join("figures.md"), table::write(&figures))?;
        let names = match picture::draw(&figures) {
            Ok(chart) => {
                fs::write(directory.join("ratios.svg"), chart)?;
                "figures.json, figures.md and ratios.svg"
            }
            Err(missing) => {
                text::print_note(&format!("no chart: {missing}"));
                "figures.json and figures.md"
            }
        };
        text::print_note(&format!("wrote {names} to {}", directory.display()));
        Ok(())
    }

    fn of_workload(&self, workload: &str) -> Vec<Series> {
        self.figures.iter().filter(|series| series.workload == workload).cloned().collect()
    }

    fn series(&self, workload: &str, subject: &str) -> Vec<Series> {
        self.of_workload(workload).into_iter().filter(|series| series.subject == subject).collect()
    }

    fn add_ratio(&mut self, workload: &str, ours: &Series, baseline: String, theirs: &Series) {
        let less_is_better = ours.metric.less_is_better;
        let pairs = ours.rounds.iter().zip(&theirs.rounds);
        let ratios: Vec<f64> = pairs
            .map(|(ours, theirs)| if less_is_better { theirs / ours } else { ours / theirs })
            .filter(|ratio| ratio.is_finite())
            .collect();
        if ratios.is_empty() {
            return;
        }
        self.ratios.push(Ratio {
            workload: workload.to_owned(),
            metric: ours.metric,
            subject: ours.subject,
            baseline,
            summary: Summary::of(&ratios),
        });
    }
}
