//! The comparison of the results with the expected ones.

use std::collections::BTreeSet;

use crate::{
    build::Build,
    exceptions::{Exceptions, Failing, File},
    package::{Package, UNCUT},
    results::Results,
};

/// What the compiler says where a test does not compile.
const COMPILE_ERROR: &str = "field `sessions` ";

/// Returns what is wrong with the build: each file must compile without the tests that are listed,
/// and each of these tests must not.
pub(crate) fn build(exceptions: &Exceptions, package: &Package, build: &Build) -> Vec<String> {
    let mut problems = Vec::new();
    let mut uncompiled = BTreeSet::new();
    for error in &build.errors {
        let file = error.target.strip_prefix(UNCUT);
        let cut = package
            .cuts
            .iter()
            .find(|cut| file == Some(cut.file.as_str()) && cut.lines.contains(&error.line));
        match cut {
            Some(cut) if error.text.contains(COMPILE_ERROR) => {
                uncompiled.insert((cut.file.as_str(), cut.test.as_str()));
            }
            Some(_) | None => problems.push(format!("{}: {}", error.target, error.text)),
        }
    }
    for cut in &package.cuts {
        if !uncompiled.contains(&(cut.file.as_str(), cut.test.as_str())) {
            problems.push(format!("{}: {} is listed, but compiles", cut.file, cut.test));
        }
    }
    for File { name, .. } in &exceptions.files {
        if !build.programs.contains_key(name) {
            problems.push(format!("{name} was not built:\n{}", build.output));
        }
    }
    problems
}

/// Returns the tests of a file that failed and are not listed.
pub(crate) fn unlisted_failures(
    file: &File,
    exceptions: &Exceptions,
    results: &Results,
) -> Vec<String> {
    let is_listed =
        |test: &str| exceptions.failing.iter().any(|it| it.file == file.name && it.is_about(test));
    let failed = results.tests.iter().filter(|(test, passed)| !**passed && !is_listed(test));
    failed.map(|(test, _)| test.clone()).collect()
}

/// Returns what is wrong with the results of a file.
pub(crate) fn results(file: &File, exceptions: &Exceptions, results: &Results) -> Vec<String> {
    let name = &file.name;
    let mut problems = Vec::new();
    let expected = file.tests - exceptions.uncompiled_in(name).count();
    let (ran, passed) = (results.tests.len(), results.passed());
    if (ran, passed) != (expected, file.pass) {
        problems.push(format!(
            "{name}: {ran} tests ran and {passed} passed, expected {expected} and {}",
            file.pass
        ));
    }
    let listed: Vec<&Failing> = exceptions.failing.iter().filter(|it| it.file == *name).collect();
    for (test, passed) in &results.tests {
        let row = listed.iter().find(|row| row.is_about(test));
        let output = results.output(test);
        match (row, passed) {
            (None, true) => {}
            (None, false) => problems.push(format!("{name}: {test} failed\n{output}")),
            (Some(_), true) => problems.push(format!("{name}: {test} is listed, but passed")),
            (Some(row), false) if output.contains(&row.output) => {}
            (Some(row), false) => problems.push(format!(
                "{name}: {test} did not fail with `{}`, but with\n{output}",
                row.output
            )),
        }
    }
    for row in listed {
        if !results.tests.keys().any(|test| row.is_about(test)) {
            problems.push(format!("{name}: {} is listed, but did not run", row.test));
        }
    }
    problems
}

impl Failing {
    /// Returns whether the test is this one, or one of its cases.
    fn is_about(&self, test: &str) -> bool {
        let rest = test.strip_prefix(&self.test);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::case_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::example;

    /// Compares the example with a file of three tests.
    fn problems(pass: usize, failing: &[(&str, &str)]) -> Vec<String> {
        let file = File { name: "f".to_owned(), tests: 3, pass };
        let failing = failing.iter().map(|(test, output)| Failing {
            file: "f".to_owned(),
            test: (*test).to_owned(),
            output: (*output).to_owned(),
        });
        let exceptions = Exceptions {
            version: String::new(),
            files: Vec::new(),
            uncompiled: Vec::new(),
            failing: failing.collect(),
        };
        results(&file, &exceptions, &example())
    }

    #[test]
    fn listed_failures_are_no_problem() {
        let failing = [("m::b::case_1", "first"), ("m::b::case_2", "second")];
        assert_eq!(problems(1, &failing), [""; 0]);
    }

    #[test]
    fn every_difference_is_a_problem() {
        let ran = "f: 3 tests ran and 1 passed, expected 3 and 2";
        let case_1 = "f: m::b::case_1 failed\nfirst\n";
        assert_eq!(problems(2, &[("m::b::case_2", "second")]), [ran, case_1]);
        let output = "f: m::b::case_2 did not fail with `first`, but with\nsecond\n";
        assert_eq!(problems(1, &[("m::b", "first")]), [output]);
        let listed = "f: a is listed, but passed";
        assert_eq!(problems(1, &[("a", ""), ("m::b", "")]), [listed]);
        let missing = "f: c is listed, but did not run";
        assert_eq!(problems(1, &[("c", ""), ("m::b", "")]), [missing]);
    }
}
