//! The report as a table.
#![expect(clippy::print_stdout, reason = "the table is what the program is for")]

use rejoin_bench::format_number;

use super::{Ratio, summary::Summary};
use crate::measure::Series;

/// Shows one row of the figures.
pub(super) fn print_figure(series: &Series) {
    let Summary { minimum, lower_quartile, median, upper_quartile, maximum } =
        Summary::of(&series.rounds);
    let what = format!("{} ({})", series.metric.name, series.metric.unit);
    println!(
        "{:<52} {:<26} {what:<34} {:>11}   {:>11} {:>11} {:>11} {:>11}",
        series.workload,
        series.subject,
        format_number(median),
        format_number(minimum),
        format_number(lower_quartile),
        format_number(upper_quartile),
        format_number(maximum),
    );
}

/// Shows what the columns of the figures are.
pub(crate) fn print_header() {
    println!(
        "{:<52} {:<26} {:<34} {:>11}   {:>11} {:>11} {:>11} {:>11}",
        "work", "who", "what", "median", "min", "quartile", "quartile", "max"
    );
}

/// Shows a section's name.
pub(crate) fn print_section(name: &str) {
    println!("\n=== {name}");
}

/// Shows a remark.
pub(super) fn print_note(note: &str) {
    println!("    {note}");
}

/// Shows all ratios.
pub(super) fn print_ratios(ratios: &[Ratio]) {
    println!("\n=== How many times better: the median of all rounds, least and most");
    println!(
        "{:<52} {:<24} {:<26} {:<48} {:>8} {:>18}",
        "work", "what", "who", "than", "ratio", "spread"
    );
    for ratio in ratios {
        let Summary { minimum, median, maximum, .. } = ratio.summary;
        let spread = format!("{} to {}", format_number(minimum), format_number(maximum));
        println!(
            "{:<52} {:<24} {:<26} {:<48} {:>8} {spread:>18}",
            ratio.workload,
            ratio.metric.name,
            ratio.subject,
            ratio.baseline,
            format_number(median),
        );
    }
}
