//! The run that is kept in this folder: its figures, its table and its picture belong
//! together, and the README shows the picture. Where no run is kept, there is none of them.

use std::{fs, path::PathBuf};

use rejoin_bench::{picture, table};
use serde_json::{Value, json};

fn kept(name: &str) -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(folder.join(name)).ok()
}

#[test]
fn the_table_and_the_picture_are_made_of_the_figures_that_are_kept() {
    let readme = kept("../../README.md").unwrap();
    let is_shown = readme.contains("(tests/bench/ratios.svg)");
    let Some(figures) = kept("figures.json") else {
        assert_eq!((kept("figures.md"), kept("ratios.svg"), is_shown), (None, None, false));
        return;
    };
    let figures = serde_json::from_str(&figures).unwrap();
    assert_same_lines(&kept("figures.md").unwrap(), &table::write(&figures));
    assert_same_lines(&kept("ratios.svg").unwrap(), &picture::draw(&figures).unwrap());
    assert!(is_shown, "README.md does not show tests/bench/ratios.svg");
}

/// Fails with the first line that differs: the whole table is too long to be printed.
fn assert_same_lines(kept: &str, made: &str) {
    for (number, (kept, made)) in (1..).zip(kept.lines().zip(made.lines())) {
        assert_eq!(kept, made, "line {number}");
    }
    assert_eq!(kept.lines().count(), made.lines().count());
}

#[test]
fn a_picture_has_six_bars_and_losses_to_the_left_of_the_line() {
    let (who, than) = ("rejoin serve", "supergateway (npm)");
    let rejoin = ("rejoin", "rejoin + rmcp service");
    let measured = [
        ("gateway echo, 1 sessions", "throughput", who, than, 8.0),
        ("gateway echo, 16 sessions, by wrk", "throughput", who, "mcp-proxy (crate)", 1.5),
        ("echo, 16 connections, by wrk", "throughput", rejoin.1, "rmcp", 2.0),
        ("echo, 16 connections, by wrk", "throughput", rejoin.0, "tower-mcp", 1.25),
        ("echo, 16 connections", "throughput", rejoin.0, "limit, two parts", 0.75),
        ("after all echoes", "peak memory", rejoin.1, "rmcp", 0.5),
    ];
    let ratio = |(work, what, who, than, median)| {
        let times_better = json!({ "median": median, "minimum": median, "maximum": median });
        let names = json!({ "work": work, "what": what, "who": who, "than": than });
        let mut ratio: Value = names;
        ratio["times_better"] = times_better;
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
