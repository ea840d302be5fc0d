//! All results of a run, as tables in Markdown.

use std::fmt::Write as _;

use serde_json::Value;

use crate::format_number;

/// Renders the tables.
#[must_use]
pub fn write(figures: &Value) -> String {
    let mut out = String::from("# Benchmark results\n\n");
    let machine = figures["machine"].as_object().into_iter().flatten();
    let mut machine: Vec<String> =
        machine.map(|(name, value)| format!("{name}: {value}")).collect();
    // The order of members depends on a feature of `serde_json` that other packages enable.
    machine.sort_unstable();
    // Writing to a `String` does not fail.
    let _ = writeln!(out, "{}\n", machine.join("; "));
    for note in rows(&figures["notes"]) {
        let _ = writeln!(out, "{}\n", text(note));
    }
    out.push_str("## Ratios\n\nMedian, minimum and maximum of the ratios of all rounds. Above 1, the subject is better than the baseline.\n\n");
    out.push_str("| workload | metric | subject | baseline | ratio | min | max |\n|---|---|---|---|---:|---:|---:|\n");
    for ratio in rows(&figures["ratios"]) {
        let [workload, metric, subject, baseline] =
            ["workload", "metric", "subject", "baseline"].map(|key| text(&ratio[key]));
        let [median, min, max] =
            ["median", "minimum", "maximum"].map(|key| number(&ratio["improvement"], key));
        let _ = writeln!(
            out,
            "| {workload} | {metric} | {subject} | {baseline} | {median} | {min} | {max} |"
        );
    }
    out.push_str("\n## Figures\n\n| workload | subject | metric | median | min | max | rounds |\n|---|---|---|---:|---:|---:|---:|\n");
    for figure in rows(&figures["figures"]) {
        let [workload, subject, metric, unit] =
            ["workload", "subject", "metric", "unit"].map(|key| text(&figure[key]));
        let [median, min, max] =
            ["median", "minimum", "maximum"].map(|key| number(&figure["summary"], key));
        let rounds = &figure["rounds"];
        let _ = writeln!(
            out,
            "| {workload} | {subject} | {metric} ({unit}) | {median} | {min} | {max} | {rounds} |"
        );
    }
    out
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(summary: &Value, key: &str) -> String {
    format_number(summary.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN))
}
