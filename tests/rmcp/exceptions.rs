//! The expected results: the tables of `exceptions.md`.

/// The tables.
#[derive(Debug)]
pub(crate) struct Exceptions {
    /// The version of rmcp.
    pub(crate) version: String,
    pub(crate) files: Vec<File>,
    pub(crate) uncompiled: Vec<Uncompiled>,
    pub(crate) failing: Vec<Failing>,
}

/// A file of tests.
#[derive(Debug, PartialEq)]
pub(crate) struct File {
    pub(crate) name: String,
    /// The number of tests, with those that do not compile.
    pub(crate) tests: usize,
    pub(crate) pass: usize,
}

/// A test that does not compile.
#[derive(Debug, PartialEq)]
pub(crate) struct Uncompiled {
    pub(crate) file: String,
    pub(crate) test: String,
}

/// A test that fails, with all of its cases.
#[derive(Debug, PartialEq)]
pub(crate) struct Failing {
    pub(crate) file: String,
    pub(crate) test: String,
    /// A part of what it prints.
    pub(crate) output: String,
}

impl Exceptions {
    pub(crate) fn read() -> Self {
        Self::parse(include_str!("exceptions.md"))
    }

    fn parse(text: &str) -> Self {
        let mut sections = text.split("\n## ");
        let title = sections.next().unwrap();
        let version = title.strip_prefix("# Tests of rmcp ").unwrap().split(' ').next().unwrap();
        let [files, uncompiled, failing] = sections.collect::<Vec<_>>().try_into().unwrap();
        Self {
            version: version.to_owned(),
            files: rows(files)
                .map(|[name, tests, pass]| File {
                    name,
                    tests: tests.parse().unwrap(),
                    pass: pass.parse().unwrap(),
                })
                .collect(),
            uncompiled: rows(uncompiled)
                .map(|[file, test, _use]| Uncompiled { file, test })
                .collect(),
            failing: rows(failing)
                .map(|[file, test, output, _reason]| Failing { file, test, output })
                .collect(),
        }
    }

    /// Returns the names of the tests in a file that do not compile.
    pub(crate) fn uncompiled_in<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a str> {
        let listed = self.uncompiled.iter().filter(move |it| it.file == file);
        listed.map(|it| it.test.as_str())
    }

    /// Returns the number of rows about tests in a file.
    pub(crate) fn in_file(&self, file: &str) -> usize {
        let failing = self.failing.iter().filter(|it| it.file == file);
        self.uncompiled_in(file).count() + failing.count()
    }
}

/// Returns the rows of the table of a section.
fn rows<const COLUMNS: usize>(section: &str) -> impl Iterator<Item = [String; COLUMNS]> {
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| {
        let cells = line.trim_matches('|').split('|').map(cell).collect::<Vec<_>>();
        cells.try_into().unwrap_or_else(|_| panic!("not a row of {COLUMNS} cells: {line}"))
    })
}

/// Returns the contents of a cell. If all of it is code, the code.
fn cell(text: &str) -> String {
    let text = text.trim();
    let code = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    code.filter(|code| !code.contains('`')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_test_that_does_not_pass_is_listed_once_with_its_file() {
        let exceptions = Exceptions::read();
        let tests = exceptions.uncompiled.iter().map(|it| (&it.file, &it.test));
        let tests = tests.chain(exceptions.failing.iter().map(|it| (&it.file, &it.test)));
        let distinct: BTreeSet<_> = tests.clone().collect();
        assert_eq!(distinct.len(), tests.clone().count());
        for (file, test) in tests {
            assert!(exceptions.files.iter().any(|it| it.name == *file), "{file}: {test}");
        }
        for file in &exceptions.files {
            let all_pass = file.pass == file.tests;
            assert_eq!(all_pass, exceptions.in_file(&file.name) == 0, "{}", file.name);
        }
    }

    #[test]
    fn tables_are_parsed() {
        let exceptions = Exceptions::parse(
            "# Tests of rmcp 1.2.3 with …\n\n\
             ## Files\n\n| file | tests | pass |\n|---|---|---|\n| `a` | 3 | 1 |\n\n\
             ## Tests that do not compile\n\n| f | t | u |\n|---|---|---|\n| `a` | `b` | `c` `d` |\n\n\
             ## Tests that fail\n\n| f | t | o | r |\n|---|---|---|---|\n| `a` | `e` | `x: y` | z |\n",
        );
        let (a, b, e) = ("a".to_owned(), "b".to_owned(), "e".to_owned());
        assert_eq!(exceptions.version, "1.2.3");
        assert_eq!(exceptions.files, [File { name: a.clone(), tests: 3, pass: 1 }]);
        assert_eq!(exceptions.uncompiled, [Uncompiled { file: a.clone(), test: b }]);
        assert_eq!(exceptions.failing, [Failing { file: a, test: e, output: "x: y".to_owned() }]);
    }
}
