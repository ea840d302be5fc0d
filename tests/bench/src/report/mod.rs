//! What was measured, and what it means: figures, and ratios of them.

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

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Series>,
    ratios: Vec<Ratio>,
    notes: Vec<String>,
}

/// How many times better one subject was than another one, or the same one elsewhere.
#[derive(Debug)]
struct Ratio {
    workload: String,
    metric: Metric,
    subject: &'static str,
    baseline: String,
    /// Of the two values of each round.
    summary: Summary,
}

impl Report {
    /// Adds what was measured, and shows it.
    pub(crate) fn add(&mut self, series: Vec<Series>) {
        series.iter().for_each(text::print_figure);
        self.figures.extend(series);
    }

    /// Compares two subjects in everything that was measured of both.
    pub(crate) fn compare(&mut self, work: &str, of: &'static str, against: &'static str) {
        for ours in self.series(work, of) {
            let same = self.series(work, against);
            if let Some(theirs) = same.into_iter().find(|series| series.metric == ours.metric) {
                self.add_ratio(work, &ours, against.to_owned(), &theirs);
            }
        }
    }

    /// Compares two subjects at several works, and each with itself at the first of them.
    pub(crate) fn compare_all(
        &mut self,
        works: &[String],
        of: &'static str,
        against: &'static str,
    ) {
        for work in works {
            self.compare(work, of, against);
        }
        if let [base, others @ ..] = works {
            for work in others {
                self.compare_with_itself(work, base);
            }
        }
    }

    /// Compares every subject with itself at other work.
    fn compare_with_itself(&mut self, work: &str, base: &str) {
        for ours in self.of_workload(work) {
            let there = self.series(base, ours.subject);
            if let Some(before) = there.into_iter().find(|series| series.metric == ours.metric) {
                self.add_ratio(work, &ours, format!("itself, {base}"), &before);
            }
        }
    }

    /// Adds what has to be said.
    pub(crate) fn note(&mut self, note: String) {
        text::print_note(&note);
        self.notes.push(note);
    }

    /// Shows the ratios, and writes everything into a folder.
    pub(crate) fn finish(&self, folder: &Path, seed: u64) -> Result<()> {
        text::print_ratios(&self.ratios);
        self.notes.iter().for_each(|note| text::print_note(note));
        fs::create_dir_all(folder)?;
        let figures = json::write(self, seed);
        fs::write(folder.join("figures.json"), format!("{figures:#}\n"))?;
        fs::write(folder.join("figures.md"), table::write(&figures))?;
        let names = match picture::draw(&figures) {
            Ok(picture) => {
                fs::write(folder.join("ratios.svg"), picture)?;
                "figures.json, figures.md and ratios.svg"
            }
            Err(missing) => {
                text::print_note(&format!("no picture: {missing}"));
                "figures.json and figures.md"
            }
        };
        text::print_note(&format!("{names} are in {}", folder.display()));
        Ok(())
    }

    fn of_workload(&self, work: &str) -> Vec<Series> {
        self.figures.iter().filter(|series| series.workload == work).cloned().collect()
    }

    fn series(&self, work: &str, subject: &str) -> Vec<Series> {
        self.of_workload(work).into_iter().filter(|series| series.subject == subject).collect()
    }

    fn add_ratio(&mut self, work: &str, ours: &Series, against: String, theirs: &Series) {
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
            workload: work.to_owned(),
            metric: ours.metric,
            subject: ours.subject,
            baseline: against,
            summary: Summary::of(&ratios),
        });
    }
}
