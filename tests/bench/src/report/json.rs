//! Report as JSON.

use std::fs;

use serde_json::{Value, json};

use super::{Ratio, Report, summary::Summary};
use crate::measure::Series;

/// Renders the report.
pub(super) fn write(report: &Report, seed: u64) -> Value {
    let figures: Vec<Value> = report.figures.iter().map(figure).collect();
    let ratios: Vec<Value> = report.ratios.iter().map(ratio).collect();
    json!({
        "machine": machine(),
        "seed": seed,
        "figures": figures,
        "ratios": ratios,
        "notes": report.notes,
    })
}

fn figure(series: &Series) -> Value {
    json!({
        "workload": series.workload,
        "subject": series.subject,
        "metric": series.metric.name,
        "unit": series.metric.unit,
        "less_is_better": series.metric.less_is_better,
        "summary": summary(Summary::of(&series.rounds)),
        "rounds": series.rounds.len(),
    })
}

fn ratio(ratio: &Ratio) -> Value {
    json!({
        "workload": ratio.workload,
        "metric": ratio.metric.name,
        "subject": ratio.subject,
        "baseline": ratio.baseline,
        "improvement": summary(ratio.summary),
    })
}

fn summary(summary: Summary) -> Value {
    json!({
        "minimum": summary.minimum,
        "lower_quartile": summary.lower_quartile,
        "median": summary.median,
        "upper_quartile": summary.upper_quartile,
        "maximum": summary.maximum,
    })
}

/// Describes the machine and its load, without which figures mean nothing.
fn machine() -> Value {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "CPU": model.unwrap_or_default().trim_start_matches([':', ' ', '\t']),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "kernel": kernel.trim().split('-').next().unwrap_or_default(),
        "load average at the end": load.split(' ').next().unwrap_or_default(),
    })
}
