//! The build of the package.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::package::Package;

/// What was built, and what was not.
#[derive(Debug)]
pub(crate) struct Build {
    /// The programs of the targets that compile.
    pub(crate) programs: BTreeMap<String, PathBuf>,
    pub(crate) errors: Vec<CompileError>,
    /// What cargo printed.
    pub(crate) output: String,
}

/// An error of the compiler.
#[derive(Debug)]
pub(crate) struct CompileError {
    pub(crate) target: String,
    /// The first line of a file is 0.
    pub(crate) line: usize,
    pub(crate) text: String,
}

pub(crate) fn build(package: &Package) -> Build {
    let mut cargo = package.cargo("build");
    cargo.args(["--tests", "--keep-going", "--message-format", "json"]);
    let Output { stdout, stderr, .. } = cargo.stderr(Stdio::piped()).output().unwrap();
    let output = String::from_utf8_lossy(&stderr).into_owned();
    let mut build = Build { programs: BTreeMap::new(), errors: Vec::new(), output };
    for line in stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).unwrap();
        let target = message["target"]["name"].as_str().unwrap_or_default().to_owned();
        if let Some(program) = message["executable"].as_str() {
            build.programs.insert(target, program.into());
        } else if message["message"]["level"] == "error" {
            build.errors.extend(error(target, &message["message"]));
        }
    }
    build
}

/// Returns an error, unless it is the summary of others.
fn error(target: String, message: &Value) -> Option<CompileError> {
    let spans = message["spans"].as_array().unwrap();
    let span = spans.iter().find(|span| span["is_primary"] == true)?;
    let line = usize::try_from(span["line_start"].as_u64().unwrap() - 1).unwrap();
    Some(CompileError { target, line, text: message["rendered"].as_str().unwrap().to_owned() })
}
