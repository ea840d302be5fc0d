//! Does the net catch fish? Puts one fault after the other into a copy of the workspace,
//! and sees whether a test fails: `cargo run -p rejoin-tests --example mutants [WORD]`.
//!
//! The faults are in `tests/mutants`; with a word, only those that have it in their title or
//! file, or the list of that name. A fault that no test catches is a missing test. One
//! that breaks a law must be seen by the checker of that law, in some world.

#![expect(clippy::print_stdout, reason = "it prints what it finds")]

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
};

/// The lists of faults, in `tests/mutants`.
const LISTS: [&str; 5] = ["core", "shell", "laws", "races", "wire"];

/// One fault.
struct Mutant {
    title: String,
    /// The law that it breaks, as its checker begins to say so.
    law: Option<String>,
    /// The list that it is in.
    list: &'static str,
    file: String,
    original: String,
    replacement: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let word = env::args().nth(1).unwrap_or_default();
    let mut faults = Vec::new();
    for list in LISTS {
        if LISTS.contains(&word.as_str()) && word != list {
            continue;
        }
        let mut listed =
            read(&fs::read_to_string(root.join(format!("tests/mutants/{list}.txt")))?)?;
        for fault in &mut listed {
            fault.list = list;
        }
        listed.retain(|it| word == list || it.title.contains(&word) || it.file.contains(&word));
        faults.extend(listed);
    }
    let tree = root.join("target/mutants/tree");
    copy(&root, &tree)?;
    for fault in &faults {
        fault.apply(&fs::read_to_string(tree.join(&fault.file))?)?;
    }
    for tests in ["core", "shell", "races", "wire"] {
        if faults.iter().any(|fault| fault.tests().starts_with(tests))
            && let Some(test) = first_failure(&tree, tests)?
        {
            return Err(format!("{test} fails without a fault").into());
        }
    }
    let mut survivors = 0;
    for fault in &faults {
        let path = tree.join(&fault.file);
        let right = fs::read_to_string(&path)?;
        fs::write(&path, fault.apply(&right)?)?;
        let caught = match &fault.law {
            Some(law) => first_violation(&tree, law)?,
            None => first_failure(&tree, fault.tests())?,
        };
        fs::write(&path, right)?;
        survivors += usize::from(caught.as_deref().is_none_or(|test| test == BUILD_FAILED));
        let by = caught.map_or("NOT CAUGHT".to_owned(), |test| format!("`{test}`"));
        let law = fault.law.as_ref().map(|law| format!("| {law} ")).unwrap_or_default();
        println!("{law}| {} | `{}` | {by} |", fault.title, fault.file);
    }
    println!("\n{} faults, {survivors} not caught", faults.len());
    Ok(ExitCode::from(u8::from(survivors > 0)))
}

/// Reads faults, which are separated by empty lines.
fn read(text: &str) -> Result<Vec<Mutant>, String> {
    let blocks = text.split("\n\n").map(|block| {
        block.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    });
    let blocks = blocks.filter(|lines| !lines.is_empty());
    blocks
        .map(|mut lines| {
            let is_law = lines.get(1).is_some_and(|line| line.starts_with("law "));
            let law = is_law.then(|| lines.remove(1));
            let [title, file, right, wrong] = lines.try_into().map_err(|lines: Vec<_>| {
                format!("a fault has four lines, or five, and not: {lines:#?}")
            })?;
            Ok(Mutant { title, law, list: "", file, original: right, replacement: wrong })
        })
        .collect()
}

impl Mutant {
    /// Returns the tests that must catch it: those of its file, or the races, or worlds over
    /// the wire.
    fn tests(&self) -> &str {
        if ["races", "wire"].contains(&self.list) { self.list } else { &self.file }
    }

    /// Returns the text with the fault in it. Spaces between words match line breaks, too.
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
            found => Err(format!("{}: stands {} times in {}", self.title, found.len(), self.file)),
        }
    }
}

/// Returns where `words` end that begin at `start`.
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

/// Makes the tree what is under version control, and touches nothing that is so already.
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

/// Removes the files of a folder of the tree that do not belong to it.
fn remove_others(tree: &Path, folder: &Path, names: &BTreeSet<&Path>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, names)?;
        } else if path.strip_prefix(tree).is_ok_and(|name| !names.contains(name)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Runs the tests that concern a file, the quick ones first, or the races, or worlds over the
/// wire, and returns the first one that fails, and how where it is such a world.
fn first_failure(tree: &Path, tests: &str) -> io::Result<Option<String>> {
    let core: &[&[&str]] = &[
        &["-p", "rejoin-core", "--all-features", "--lib", "--tests"],
        &["-p", "rejoin-tests", "--test", "model"],
        &["-p", "rejoin-tests", "--test", "world"],
    ];
    let shell: &[&[&str]] = &[
        &["-p", "rejoin", "--lib", "--test", "sessions", "--test", "http", "--test", "rmcp"],
        &["-p", "rejoin", "--test", "stdio", "--test", "program"],
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
    let wire: &[&[&str]] = &[&["-p", "rejoin-wire", "--test", "here", "many_worlds"]];
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

/// Returns what the checker of a law says first, in a hundred worlds.
fn first_violation(tree: &Path, law: &str) -> io::Result<Option<String>> {
    let asked = format!("{law} (");
    let arguments = ["-p", "rejoin-tests", "--example", "verdicts", "--", asked.as_str()];
    let output = cargo(tree, "run", &arguments)?;
    if !output.status.success() {
        return Ok((!timed_out(&output)).then(|| BUILD_FAILED.to_owned()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let text = said.lines().find_map(|line| {
        let (_, text) = line.split_once(": ").filter(|(_, text)| text.starts_with(&asked))?;
        text.split_once("): ")
    });
    Ok(text.map(|(_, text)| text.chars().take(REPORT_CHARS_MAX).collect()))
}

/// How much is shown of what a checker says.
const REPORT_CHARS_MAX: usize = 100;

/// A fault that is none: it is to be mended.
const BUILD_FAILED: &str = "it does not build";

fn run(tree: &Path, arguments: &[&str]) -> io::Result<Option<String>> {
    let output = cargo(tree, "test", arguments)?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    // A world says which one it is, and what is wrong.
    let world = said.lines().find_map(|line| {
        let (_, what) = line.strip_prefix("seed ")?.split_once(": ")?;
        Some(what.chars().take(REPORT_CHARS_MAX).collect())
    });
    if world.is_some() {
        return Ok(world);
    }
    let mut lines = said.lines().skip_while(|line| *line != "failures:");
    let name = lines.find_map(|line| line.strip_prefix("---- ")?.split(' ').next());
    let what = if timed_out(&output) { "it hangs" } else { BUILD_FAILED };
    Ok(Some(name.unwrap_or(what).to_owned()))
}

/// Returns whether the time was over.
fn timed_out(output: &Output) -> bool {
    output.status.code() == Some(124)
}

/// How long it may take to build and to run tests.
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
        .env("REJOIN_WORLDS", "100")
        .stdin(Stdio::null())
        .output()
}
