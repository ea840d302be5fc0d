//! Mutation testing: applies one deliberate fault after the other to a copy of the workspace,
//! and runs the tests: `cargo run -p rejoin-tests --example mutants [FILTER]`.
//!
//! The mutants are in `tests/mutants`; a filter selects those with it in their title or file,
//! or the list of that name. A mutant that no test catches is a missing test. One that breaks
//! a law must be detected by the checker of that law, in some simulation.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it reports how long it took")]

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    time::Instant,
};

/// The lists of mutants, in `tests/mutants`.
const LISTS: [&str; 5] = ["core", "shell", "laws", "races", "wire"];

/// The number of laws, each of which some mutant must break.
const LAWS: usize = 10;

/// A mutant.
struct Mutant {
    title: String,
    /// The law that it breaks, as the text of a violation begins.
    law: Option<String>,
    /// Its list.
    list: &'static str,
    file: String,
    original: String,
    replacement: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let filter = env::args().nth(1).unwrap_or_default();
    let mut mutants = Vec::new();
    for list in LISTS {
        if LISTS.contains(&filter.as_str()) && filter != list {
            continue;
        }
        let mut listed =
            read(&fs::read_to_string(root.join(format!("tests/mutants/{list}.txt")))?)?;
        for mutant in &mut listed {
            mutant.list = list;
        }
        if list == "laws"
            && let Some(law) = (1..=LAWS).find(|law| !listed.iter().any(|it| it.breaks(*law)))
        {
            return Err(format!("no mutant breaks law {law}").into());
        }
        listed
            .retain(|it| filter == list || it.title.contains(&filter) || it.file.contains(&filter));
        mutants.extend(listed);
    }
    let tree = root.join("target/mutants/tree");
    copy(&root, &tree)?;
    for mutant in &mutants {
        mutant.apply(&fs::read_to_string(tree.join(&mutant.file))?)?;
    }
    for tests in ["core", "shell", "races", "wire"] {
        if mutants.iter().any(|mutant| mutant.tests().starts_with(tests))
            && let Some(test) = first_failure(&tree, tests)?
        {
            return Err(format!("{test} fails without any mutant").into());
        }
    }
    let mut survivors = 0;
    for mutant in &mutants {
        let path = tree.join(&mutant.file);
        let original = fs::read_to_string(&path)?;
        fs::write(&path, mutant.apply(&original)?)?;
        let caught = match &mutant.law {
            Some(law) => first_violation(&tree, law)?,
            None => first_failure(&tree, mutant.tests())?,
        };
        fs::write(&path, original)?;
        survivors += usize::from(caught.as_deref().is_none_or(|test| test == BUILD_FAILED));
        let by = caught.map_or("NOT CAUGHT".to_owned(), |test| format!("`{test}`"));
        let law = mutant.law.as_ref().map(|law| format!("| {law} ")).unwrap_or_default();
        println!("{law}| {} | `{}` | {by} |", mutant.title, mutant.file);
    }
    let minutes = start.elapsed().as_secs().div_ceil(60);
    println!("\n{} mutants in {minutes} min, {survivors} not caught", mutants.len());
    Ok(ExitCode::from(u8::from(survivors > 0)))
}

/// Parses mutants, which are separated by empty lines.
fn read(text: &str) -> Result<Vec<Mutant>, String> {
    let blocks = text.split("\n\n").map(|block| {
        block.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    });
    let blocks = blocks.filter(|lines| !lines.is_empty());
    blocks
        .map(|mut lines| {
            let is_law = lines.get(1).is_some_and(|line| line.starts_with("law "));
            let law = is_law.then(|| lines.remove(1));
            let [title, file, original, replacement] =
                lines.try_into().map_err(|lines: Vec<_>| {
                    format!("a mutant has four lines, or five with a law, but not: {lines:#?}")
                })?;
            Ok(Mutant { title, law, list: "", file, original, replacement })
        })
        .collect()
}

impl Mutant {
    fn breaks(&self, law: usize) -> bool {
        self.law.as_ref().is_some_and(|it| *it == format!("law {law}"))
    }

    /// Returns the tests that must catch it: those of its file, or the races, or the
    /// simulations over the wire.
    fn tests(&self) -> &str {
        if ["races", "wire"].contains(&self.list) { self.list } else { &self.file }
    }

    /// Returns the text with the mutant applied. Spaces between words match line breaks, too.
    fn apply(&self, text: &str) -> Result<String, String> {
        let words: Vec<&str> = self.original.split_whitespace().collect();
        let mut found = Vec::new();
        let starts = text.match_indices(words.first().copied().unwrap_or_default());
        for (start, _) in starts {
            found.extend(end_of(text, start, &words).map(|end| (start, end)));
        }
        match found.as_slice() {
            [(start, end)] => Ok([text.get(..*start), Some(&self.replacement), text.get(*end..)]
                .into_iter()
                .flatten()
                .collect()),
            found => Err(format!(
                "{}: found {} times in {}, must be once",
                self.title,
                found.len(),
                self.file
            )),
        }
    }
}

/// Returns the end of `words`, if they begin at `start`.
fn end_of(text: &str, start: usize, words: &[&str]) -> Option<usize> {
    let mut at = start;
    for (position, word) in words.iter().enumerate() {
        let rest = text.get(at..)?;
        let trimmed = if position == 0 { rest } else { rest.trim_start() };
        at += rest.len() - trimmed.len();
        trimmed.starts_with(word).then_some(())?;
        at += word.len();
    }
    Some(at)
}

/// Makes the tree a copy of the files under version control. Does not touch unchanged files.
fn copy(root: &Path, tree: &Path) -> io::Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let names: BTreeSet<&Path> =
        listed.split('\0').filter(|name| !name.is_empty()).map(Path::new).collect();
    for name in &names {
        let (from, to) = (root.join(name), tree.join(name));
        let contents = fs::read(from)?;
        if fs::read(&to).ok().as_ref() != Some(&contents) {
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            fs::write(to, contents)?;
        }
    }
    remove_others(tree, tree, &names)
}

/// Removes the files of a directory that are not under version control.
fn remove_others(tree: &Path, directory: &Path, names: &BTreeSet<&Path>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, names)?;
        } else if path.strip_prefix(tree).is_ok_and(|name| !names.contains(name)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Runs the tests of a file (the quick ones first), the races, or the simulations over the
/// wire. Returns the first one that fails, or what was wrong with the first simulation.
fn first_failure(tree: &Path, tests: &str) -> io::Result<Option<String>> {
    let core: &[&[&str]] = &[
        &["-p", "rejoin-core", "--all-features", "--lib", "--tests"],
        &["-p", "rejoin-tests", "--test", "model"],
        &["-p", "rejoin-tests", "--test", "simulation"],
    ];
    let shell: &[&[&str]] = &[
        &["-p", "rejoin", "--lib", "--test", "sessions", "--test", "http", "--test", "rmcp"],
        &["-p", "rejoin", "--test", "drop_in"],
        &["-p", "rejoin-cli", "--test", "stdio", "--test", "program"],
    ];
    let races: &[&[&str]] = &[&[
        "-p",
        "rejoin",
        "--lib",
        "--no-default-features",
        "--config=build.rustflags=['--cfg=shuttle']",
        "--target-dir=../races",
        "races",
    ]];
    let wire: &[&[&str]] =
        &[&["-p", "rejoin-wire", "--test", "in_process", "simulations_pass_and_cover_everything"]];
    let tests = match tests {
        "races" => races,
        "wire" => wire,
        file if file.starts_with("core") => core,
        _ => shell,
    };
    for test in tests {
        if let Some(failure) = run(tree, test)? {
            return Ok(Some(failure));
        }
    }
    Ok(None)
}

/// Returns the first violation of a law in a hundred simulations.
fn first_violation(tree: &Path, law: &str) -> io::Result<Option<String>> {
    let prefix = format!("{law} (");
    let arguments = ["-p", "rejoin-tests", "--example", "violations", "--", prefix.as_str()];
    let output = cargo(tree, "run", &arguments)?;
    if !output.status.success() {
        return Ok((!timed_out(&output)).then(|| BUILD_FAILED.to_owned()));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let text = stdout.lines().find_map(|line| {
        let (_, text) = line.split_once(": ").filter(|(_, text)| text.starts_with(&prefix))?;
        text.split_once("): ")
    });
    Ok(text.map(|(_, text)| text.chars().take(REPORT_CHARS_MAX).collect()))
}

/// Number of characters that are shown of a violation.
const REPORT_CHARS_MAX: usize = 100;

/// Reported for a mutant that does not compile, and must be fixed.
const BUILD_FAILED: &str = "does not compile";

fn run(tree: &Path, arguments: &[&str]) -> io::Result<Option<String>> {
    let output = cargo(tree, "test", arguments)?;
    if output.status.success() {
        return Ok(None);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    // A failed simulation prints its seed, and what is wrong.
    let simulation = stdout.lines().find_map(|line| {
        let (_, what) = line.strip_prefix("seed ")?.split_once(": ")?;
        Some(what.chars().take(REPORT_CHARS_MAX).collect())
    });
    if simulation.is_some() {
        return Ok(simulation);
    }
    let mut lines = stdout.lines().skip_while(|line| *line != "failures:");
    let name = lines.find_map(|line| line.strip_prefix("---- ")?.split(' ').next());
    let what = if timed_out(&output) { "timed out" } else { BUILD_FAILED };
    Ok(Some(name.unwrap_or(what).to_owned()))
}

/// Returns whether `timeout` ended the command.
fn timed_out(output: &Output) -> bool {
    output.status.code() == Some(124)
}

/// Maximum time to build and to run tests.
const TIMEOUT: &str = "5m";

fn cargo(tree: &Path, command: &str, arguments: &[&str]) -> io::Result<Output> {
    let target: PathBuf = tree.join("../target");
    Command::new("timeout")
        .args([TIMEOUT, "cargo", command, "--quiet"])
        .args(arguments)
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("REJOIN_MODEL_INPUTS", "200000")
        .env("REJOIN_SIMULATIONS", "100")
        .stdin(Stdio::null())
        .output()
}
