//! The results of the tests of a file, from what the test harness prints.

use std::collections::BTreeMap;

/// The results.
#[derive(Debug)]
pub(crate) struct Results {
    /// Whether each test passed.
    pub(crate) tests: BTreeMap<String, bool>,
    stdout: String,
}

impl Results {
    /// Panics if the output is not that of a complete run.
    pub(crate) fn parse(stdout: &str, stderr: &str) -> Self {
        let mut tests = BTreeMap::new();
        for line in stdout.lines() {
            let result = line.strip_prefix("test ").and_then(|line| line.split_once(" ... "));
            if let Some((name, result)) = result {
                let name = name.trim_end_matches(" - should panic");
                let previous = tests.insert(name.to_owned(), result == "ok");
                assert_eq!(previous, None, "{name} was run twice");
            }
        }
        let results = Self { tests, stdout: stdout.to_owned() };
        let passed = results.passed();
        let failed = results.tests.len() - passed;
        let total = format!(". {passed} passed; {failed} failed; 0 ignored;");
        assert!(stdout.contains(&total), "the total is not `{total}`:\n{stdout}{stderr}");
        results
    }

    pub(crate) fn passed(&self) -> usize {
        self.tests.values().filter(|passed| **passed).count()
    }

    /// Returns what a failed test printed.
    pub(crate) fn output(&self, test: &str) -> &str {
        let header = format!("---- {test} stdout ----\n");
        let (_, output) = self.stdout.split_once(&header).unwrap_or_default();
        let ends = ["\n---- ", "\nfailures:\n"].map(|end| output.find(end));
        let end = ends.into_iter().flatten().min().unwrap_or(output.len());
        output.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const STDOUT: &str = "
running 3 tests
test a ... ok
test m::b::case_1 ... FAILED
test m::b::case_2 ... FAILED

failures:

---- m::b::case_1 stdout ----
first

---- m::b::case_2 stdout ----
second

failures:
    m::b::case_1
    m::b::case_2

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s
";

    pub(crate) fn example() -> Results {
        Results::parse(STDOUT, "")
    }

    #[test]
    fn output_is_parsed() {
        let results = example();
        let tests = results.tests.iter().map(|(name, passed)| (name.as_str(), *passed));
        assert!(tests.eq([("a", true), ("m::b::case_1", false), ("m::b::case_2", false)]));
        assert_eq!(results.passed(), 1);
        assert_eq!(results.output("m::b::case_1"), "first\n");
        assert_eq!(results.output("m::b::case_2"), "second\n");
        assert_eq!(results.output("a"), "");
    }

    #[test]
    #[should_panic(expected = "the total is not `. 1 passed; 2 failed; 0 ignored;`")]
    fn incomplete_output_is_refused() {
        Results::parse(STDOUT.split_once("test result").unwrap().0, "");
    }
}
