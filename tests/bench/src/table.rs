//! Everything that a run has measured, as tables in Markdown.

use std::fmt::Write as _;

use serde_json::Value;

use crate::format_number;

/// Writes the tables.
#[must_use]
pub fn write(figures: &Value) -> String {
    let mut out = String::from("# The whole table\n\n");
    let machine = figures["machine"].as_object().into_iter().flatten();
    let mut machine: Vec<String> =
        machine.map(|(name, value)| format!("{name}: {value}")).collect();
    // A feature of `serde_json` that another package turns on changes the order of members.
    machine.sort_unstable();
    // Writing to memory does not fail.
    let _ = writeln!(out, "{}\n", machine.join("; "));
    for note in rows(&figures["notes"]) {
        let _ = writeln!(out, "{}\n", text(note));
    }
    out.push_str("## Ratios\n\nThe median of the ratios of all rounds; above 1, the first one is better.\n\n");
    out.push_str("| work | what | of | compared with | ratio | least | most |\n|---|---|---|---|---:|---:|---:|\n");
    for ratio in rows(&figures["ratios"]) {
        let [work, what, who, than] = ["work", "what", "who", "than"].map(|key| text(&ratio[key]));
        let [median, least, most] =
            ["median", "minimum", "maximum"].map(|key| number(&ratio["times_better"], key));
        let _ = writeln!(out, "| {work} | {what} | {who} | {than} | {median} | {least} | {most} |");
    }
    out.push_str("\n## Figures\n\n| work | of | what | median | least | most | rounds |\n|---|---|---|---:|---:|---:|---:|\n");
    for figure in rows(&figures["figures"]) {
        let [work, who, what, unit] = ["work", "who", "what", "unit"].map(|key| text(&figure[key]));
        let [median, least, most] =
            ["median", "minimum", "maximum"].map(|key| number(&figure["summary"], key));
        let rounds = &figure["rounds"];
        let _ = writeln!(
            out,
            "| {work} | {who} | {what} ({unit}) | {median} | {least} | {most} | {rounds} |"
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
