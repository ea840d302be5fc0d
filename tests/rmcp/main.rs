//! The tests of rmcp for its HTTP service, with the session manager of rejoin in place of its own.
//!
//! They are in the source package of rmcp. It is replaced by a package of the same name that has
//! everything of it except for `LocalSessionManager`, so the files of the tests need no change.
//! `exceptions.md` lists the tests that do not apply.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "JSON values return null")]

mod build;
mod compare;
mod exceptions;
mod functions;
mod package;
mod results;
mod run;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use exceptions::Exceptions;
use package::Package;

#[tokio::test]
#[ignore = "installs packages"]
async fn session_manager_passes_the_tests_of_rmcp() {
    let exceptions = Exceptions::read();
    let package = Package::create(&exceptions);
    let build = build::build(&package);
    let mut problems = compare::build(&exceptions, &package, &build);
    let mut table = String::from("| file | ran | passed | listed |\n|---|---|---|---|\n");
    let mut repeated = String::new();
    let mut passed = 0;
    for file in &exceptions.files {
        let Some(program) = build.programs.get(&file.name) else { continue };
        let mut results = run::run(program, &package, &[]).await;
        for test in compare::unlisted_failures(file, &exceptions, &results) {
            // Some tests give a request half a second, which may be too little on a busy machine.
            if run::run(program, &package, &[&test, "--exact"]).await.passed() == 1 {
                writeln!(repeated, "{}: {test} passed when it ran alone", file.name).unwrap();
                results.tests.insert(test, true);
            }
        }
        problems.extend(compare::results(file, &exceptions, &results));
        let (ran, listed) = (results.tests.len(), exceptions.in_file(&file.name));
        writeln!(table, "| `{}` | {ran} | {} | {listed} |", file.name, results.passed()).unwrap();
        passed += results.passed();
    }
    // Written past the test harness, which hides what a passed test prints.
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "\n{table}\n{repeated}{passed} tests of rmcp {} passed", exceptions.version)
        .unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
