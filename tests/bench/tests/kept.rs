//! Consistency of the results in this directory: table and chart are generated from the figures,
//! and the README shows the chart. Without results, none of the files exists.

use std::{fs, path::PathBuf};

use rejoin_bench::{picture, table};
use serde_json::{Value, json};

fn read(name: &str) -> Option<String> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(directory.join(name)).ok()
}

#[test]
fn table_and_chart_match_the_figures() {
    let readme = read("../../README.md").unwrap();
    let is_shown = readme.contains("(tests/bench/ratios.svg)");
    let Some(figures) = read("figures.json") else {
        assert_eq!((read("figures.md"), read("ratios.svg"), is_shown), (None, None, false));
        return;
    };
    let figures = serde_json::from_str(&figures).unwrap();
    assert_same_lines(&read("figures.md").unwrap(), &table::write(&figures));
    assert_same_lines(&read("ratios.svg").unwrap(), &picture::draw(&figures).unwrap());
    assert!(is_shown, "README.md does not show tests/bench/ratios.svg");
}

/// Fails with the first line that differs, because the whole table is too long to print.
fn assert_same_lines(actual: &str, expected: &str) {
    for (number, (actual, expected)) in (1..).zip(actual.lines().zip(expected.lines())) {
        assert_eq!(actual, expected, "line {number}");
    }
    assert_eq!(actual.lines().count(), expected.lines().count());
}

#[test]
fn chart_has_six_bars_and_ratios_below_1_to_the_left() {
    let (subject, baseline) = ("rejoin serve", "supergateway (npm)");
    let rejoin = ("rejoin", "rejoin + rmcp service");
    let measured = [
        ("gateway echo, 1 session", "throughput", subject, baseline, 8.0),
        ("gateway echo, 16 sessions, by wrk", "throughput", subject, "mcp-proxy (crate)", 1.5),
        ("echo, 16 connections, by wrk", "throughput", rejoin.1, "rmcp", 2.0),
        ("echo, 16 connections, by wrk", "throughput", rejoin.0, "tower-mcp", 1.25),
        ("echo, 16 connections", "throughput", rejoin.0, "bare hyper, two parts", 0.75),
        ("after all echo runs", "peak memory", rejoin.1, "rmcp", 0.5),
    ];
    let ratio = |(workload, metric, subject, baseline, median)| {
        let improvement = json!({ "median": median, "minimum": median, "maximum": median });
        let names = json!({ "workload": workload, "metric": metric, "subject": subject, "baseline": baseline });
        let mut ratio: Value = names;
        ratio["improvement"] = improvement;
        ratio
    };
    let ratios: Vec<Value> = measured.into_iter().map(ratio).collect();
    let mut figures = json!({ "ratios": ratios });
    let drawn = picture::draw(&figures).unwrap();
    assert_eq!(drawn.matches("height=\"14\"").count(), 6);
    assert_eq!(drawn.matches("#d4703f").count(), 2);
    assert!(
        table::write(&figures).contains("| peak memory | rejoin + rmcp service | rmcp | 0.50 |")
    );

    figures["ratios"].as_array_mut().unwrap().pop();
    assert!(picture::draw(&figures).unwrap_err().contains("peak memory"));
}
