//! Does the net catch fish? Puts one fault after the other into a copy of the workspace,
//! and sees whether a test fails: `cargo run -p rejoin-tests --example mutants [WORD]`.
//!
//! The faults are in `tests/mutants/faults.txt`; with a word, only those that have it in
//! their title or file. A fault that no test catches is a missing test.

#![expect(clippy::print_stdout, reason = "it prints what it finds")]

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// One fault.
struct Fault {
    title: String,
    file: String,
    right: String,
    wrong: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let word = env::args().nth(1).unwrap_or_default();
    let mut faults = read(&fs::read_to_string(root.join("tests/mutants/faults.txt"))?);
    faults.retain(|fault| fault.title.contains(&word) || fault.file.contains(&word));
    let tree = root.join("target/mutants/tree");
    copy(&root, &tree)?;
    if let Some(test) = first_failure(&tree, "core")?.or(first_failure(&tree, "shell")?) {
        return Err(format!("{test} fails without a fault").into());
    }
    let mut survivors = 0;
    for fault in &faults {
        let path = tree.join(&fault.file);
        let right = fs::read_to_string(&path)?;
        fs::write(&path, fault.put_into(&right)?)?;
        let caught = first_failure(&tree, &fault.file)?;
        fs::write(&path, right)?;
        survivors += usize::from(caught.as_deref().is_none_or(|test| test == BROKEN));
        let by = caught.map_or("NOT CAUGHT".to_owned(), |test| format!("`{test}`"));
        println!("| {} | `{}` | {by} |", fault.title, fault.file);
    }
    println!("\n{} faults, {survivors} not caught", faults.len());
    Ok(ExitCode::from(u8::from(survivors > 0)))
}

/// Reads faults, which are separated by empty lines.
fn read(text: &str) -> Vec<Fault> {
    let blocks = text.split("\n\n").map(|block| {
        block.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    });
    blocks
        .filter_map(|lines| {
            let [title, file, right, wrong] = lines.try_into().ok()?;
            Some(Fault { title, file, right, wrong })
        })
        .collect()
}

impl Fault {
    /// Returns the text with the fault in it. Spaces between words match line breaks, too.
    fn put_into(&self, text: &str) -> Result<String, String> {
        let words: Vec<&str> = self.right.split_whitespace().collect();
        let mut found = Vec::new();
        let starts = text.match_indices(words.first().copied().unwrap_or_default());
        for (start, _) in starts {
            found.extend(end_of(text, start, &words).map(|end| (start, end)));
        }
        match found.as_slice() {
            [(start, end)] => Ok([text.get(..*start), Some(&self.wrong), text.get(*end..)]
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

/// Copies what is under version control, unless it is there already as it should be.
fn copy(root: &Path, tree: &Path) -> io::Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty())
    {
        let (from, to) = (root.join(name), tree.join(name));
        let contents = fs::read(from)?;
        if fs::read(&to).ok().as_ref() != Some(&contents) {
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            fs::write(to, contents)?;
        }
    }
    Ok(())
}

/// Runs the tests that concern a file, the quick ones first, and returns the first one that
/// fails.
fn first_failure(tree: &Path, file: &str) -> io::Result<Option<String>> {
    let core: &[&[&str]] = &[
        &["-p", "rejoin-core", "--all-features", "--lib", "--tests"],
        &["-p", "rejoin-tests", "--test", "model"],
        &["-p", "rejoin-tests", "--test", "world"],
    ];
    let shell: &[&[&str]] =
        &[&["-p", "rejoin", "--lib", "--test", "sessions", "--test", "http", "--test", "rmcp"]];
    for test in if file.starts_with("core") { core } else { shell } {
        if let Some(failure) = run(tree, test)? {
            return Ok(Some(failure));
        }
    }
    Ok(None)
}

/// A fault that is none: it is to be mended.
const BROKEN: &str = "it does not build";

fn run(tree: &Path, arguments: &[&str]) -> io::Result<Option<String>> {
    let target: PathBuf = tree.join("../target");
    let output = Command::new("timeout")
        .args(["600", "cargo", "test", "--quiet"])
        .args(arguments)
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("REJOIN_MODEL_INPUTS", "200000")
        .env("REJOIN_WORLDS", "100")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let mut lines = said.lines().skip_while(|line| *line != "failures:");
    let name = lines.find_map(|line| line.strip_prefix("---- ")?.split(' ').next());
    let what = if output.status.code() == Some(124) { "it hangs" } else { BROKEN };
    Ok(Some(name.unwrap_or(what).to_owned()))
}
