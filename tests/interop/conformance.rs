//! The official conformance suite.

use std::{fs, path::Path};

use rejoin_test_support::Program;
use serde_json::Value;
use tokio::process::Command;

use crate::{install, process};

/// Runs the suite of a version. All checks must pass, in this number of scenarios.
pub(crate) async fn conforms(version: &str, scenarios: usize, name: &str, program: Program) {
    let package = install::npm().join(format!("node_modules/conformance-{version}"));
    let results = install::build_directory().join(format!("interop/conformance/{name}-{version}"));
    if results.exists() {
        fs::remove_dir_all(&results).unwrap();
    }
    fs::create_dir_all(&results).unwrap();
    let mut suite = Command::new(install::node());
    suite
        .arg(package.join("dist/index.js"))
        .args(["server", "--suite", "all", "--spec-version", "2025-11-25"])
        .args(["--url", &program.url, "--output-dir"])
        .arg(&results);
    let output = process::run(&mut suite).await;

    let (_, summary) = output.split_once("=== SUMMARY ===").unwrap();
    let passed = summary.lines().filter(|line| line.starts_with("✓ ")).count();
    let failed: Vec<_> = summary.lines().filter(|line| line.starts_with("✗ ")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(passed, scenarios, "unexpected number of passed scenarios");
    // The summary does not count warnings.
    let checks = checks(&results);
    let failed: Vec<_> = checks.iter().filter(|check| !is_success(check)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(checks.len() >= scenarios, "a scenario has no checks");
}

/// Returns all checks: the directory of each scenario has a list of them.
fn checks(results: &Path) -> Vec<Value> {
    let scenarios = fs::read_dir(results).unwrap();
    let lists = scenarios.map(|scenario| {
        let list = fs::read_to_string(scenario.unwrap().path().join("checks.json")).unwrap();
        serde_json::from_str::<Vec<Value>>(&list).unwrap()
    });
    lists.flatten().collect()
}

/// Returns whether a check has passed or is informational.
fn is_success(check: &Value) -> bool {
    matches!(check["status"].as_str(), Some("SUCCESS" | "INFO"))
}
