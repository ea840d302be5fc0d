//! What was measured, and what it means: figures, and ratios of them.

mod json;
mod numbers;
mod svg;
mod text;

pub(crate) use self::text::{print_head, print_section};

use std::{fs, path::Path};

use anyhow::Result;

pub(crate) use self::numbers::quantile;
use self::numbers::Summary;
use crate::measure::{Metric, Series};

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
    notes: Vec<String>,
}

/// One metric of one subject at some work.
#[derive(Debug)]
struct Figure {
    work: String,
    series: Series,
}

/// How many times better one subject was than another one, or the same one elsewhere.
#[derive(Debug)]
struct Ratio {
    work: String,
    metric: Metric,
    of: &'static str,
    against: String,
    /// Of the two values of each round.
    summary: Summary,
}

impl Report {
    /// Adds what was measured, and shows it.
    pub(crate) fn add(&mut self, work: &str, series: Vec<Series>) {
        for series in series {
            text::print_figure(work, &series);
            self.figures.push(Figure { work: work.to_owned(), series });
        }
    }

    /// Compares two subjects in everything that was measured of both.
    pub(crate) fn compare(&mut self, work: &str, of: &'static str, against: &'static str) {
        for ours in self.series(work, of) {
            let same = self.series(work, against);
            if let Some(theirs) = same.into_iter().find(|series| series.metric == ours.metric) {
                self.ratio(work, &ours, against.to_owned(), &theirs);
            }
        }
    }

    /// Compares every subject with itself at other work.
    pub(crate) fn flat(&mut self, work: &str, base: &str) {
        let here: Vec<Series> = self.all(work).cloned().collect();
        for ours in here {
            let there = self.series(base, ours.subject);
            if let Some(before) = there.into_iter().find(|series| series.metric == ours.metric) {
                self.ratio(work, &ours, format!("itself, {base}"), &before);
            }
        }
    }

    /// Adds what has to be said.
    pub(crate) fn note(&mut self, note: String) {
        text::print_note(&note);
        self.notes.push(note);
    }

    /// Shows the ratios, and writes everything into a folder.
    pub(crate) fn end(&self, folder: &Path, seed: u64) -> Result<()> {
        text::print_ratios(&self.ratios);
        fs::create_dir_all(folder)?;
        fs::write(folder.join("figures.json"), json::write(self, seed)?)?;
        fs::write(folder.join("ratios.svg"), svg::draw(&self.ratios))?;
        text::print_note(&format!("figures.json and ratios.svg are in {}", folder.display()));
        Ok(())
    }

    fn all(&self, work: &str) -> impl Iterator<Item = &Series> {
        self.figures.iter().filter(move |figure| figure.work == work).map(|figure| &figure.series)
    }

    fn series(&self, work: &str, subject: &str) -> Vec<Series> {
        self.all(work).filter(|series| series.subject == subject).cloned().collect()
    }

    fn ratio(&mut self, work: &str, ours: &Series, against: String, theirs: &Series) {
        let less_is_better = ours.metric.less_is_better;
        let pairs = ours.rounds.iter().zip(&theirs.rounds);
        let ratios: Vec<f64> = pairs
            .map(|(ours, theirs)| if less_is_better { theirs / ours } else { ours / theirs })
            .collect();
        self.ratios.push(Ratio {
            work: work.to_owned(),
            metric: ours.metric,
            of: ours.subject,
            against,
            summary: Summary::of(&ratios),
        });
    }
}
