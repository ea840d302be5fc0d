//! Report on stdout, as a table.
#![expect(clippy::print_stdout, reason = "the table is the output of the program")]

use rejoin_bench::format_number;

use super::{Ratio, summary::Summary};
use crate::measure::Series;

/// Prints one row of the figures.
pub(super) fn print_figure(series: &Series) {
    let Summary { minimum, lower_quartile, median, upper_quartile, maximum } =
        Summary::of(&series.rounds);
    let metric = format!("{} ({})", series.metric.name, series.metric.unit);
    println!(
        "{:<52} {:<26} {metric:<34} {:>11}   {:>11} {:>11} {:>11} {:>11}",
        series.workload,
        series.subject,
        format_number(median),
        format_number(minimum),
        format_number(lower_quartile),
        format_number(upper_quartile),
        format_number(maximum),
    );
}

/// Prints the column titles of the figures.
pub(crate) fn print_header() {
    println!(
        "{:<52} {:<26} {:<34} {:>11}   {:>11} {:>11} {:>11} {:>11}",
        "workload", "subject", "metric", "median", "min", "quartile", "quartile", "max"
    );
}

/// Prints the title of a section.
pub(crate) fn print_section(name: &str) {
    println!("\n=== {name}");
}

/// Prints a note.
pub(super) fn print_note(note: &str) {
    println!("    {note}");
}

/// Prints all ratios.
pub(super) fn print_ratios(ratios: &[Ratio]) {
    println!(
        "\n=== Ratios: the median of all rounds, minimum and maximum; above 1, the subject is better"
    );
    println!(
        "{:<52} {:<24} {:<26} {:<48} {:>8} {:>18}",
        "workload", "metric", "subject", "baseline", "ratio", "range"
    );
    for ratio in ratios {
        let Summary { minimum, median, maximum, .. } = ratio.summary;
        let range = format!("{} to {}", format_number(minimum), format_number(maximum));
        println!(
            "{:<52} {:<24} {:<26} {:<48} {:>8} {range:>18}",
            ratio.workload,
            ratio.metric.name,
            ratio.subject,
            ratio.baseline,
            format_number(median),
        );
    }
}
