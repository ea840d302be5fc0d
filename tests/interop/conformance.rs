//! The official conformance suite.

use std::{ffi::OsString, fs, path::Path};

use serde_json::Value;
use tokio::process::Command;

use crate::{install, process, program::Program};

/// Fails unless so many scenarios of a version pass, with no check that failed, warned or
/// was left out.
pub(crate) async fn conforms(version: &str, scenarios: usize, name: &str, backend: &[OsString]) {
    let package = install::npm().join(format!("node_modules/conformance-{version}"));
    let results = install::build_folder().join(format!("interop/conformance/{name}-{version}"));
    if results.exists() {
        fs::remove_dir_all(&results).unwrap();
    }
    fs::create_dir_all(&results).unwrap();
    let program = Program::serve(backend);
    let mut suite = Command::new(install::node());
    suite
        .arg(package.join("dist/index.js"))
        .args(["server", "--suite", "all", "--spec-version", "2025-11-25"])
        .args(["--url", &program.url, "--output-dir"])
        .arg(&results);
    let said = process::run(&mut suite).await;

    let (_, summary) = said.split_once("=== SUMMARY ===").unwrap();
    let passed = summary.lines().filter(|line| line.starts_with("✓ ")).count();
    let failed: Vec<_> = summary.lines().filter(|line| line.starts_with("✗ ")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(passed, scenarios, "so many scenarios passed");
    // The summary counts no warnings.
    let checks = checks(&results);
    let wrong: Vec<_> = checks.iter().filter(|check| !is_fine(check)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checks.len() >= scenarios, "every scenario checks something");
}

/// Returns all that was checked: a folder for each scenario has a list of it.
fn checks(results: &Path) -> Vec<Value> {
    let scenarios = fs::read_dir(results).unwrap();
    let lists = scenarios.map(|scenario| {
        let list = fs::read_to_string(scenario.unwrap().path().join("checks.json")).unwrap();
        serde_json::from_str::<Vec<Value>>(&list).unwrap()
    });
    lists.flatten().collect()
}

/// What is only information is no check.
fn is_fine(check: &Value) -> bool {
    matches!(check["status"].as_str(), Some("SUCCESS" | "INFO"))
}
