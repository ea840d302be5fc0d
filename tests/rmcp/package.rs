//! The package that takes the place of rmcp, in the build directory.

use std::{
    collections::BTreeSet,
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    exceptions::{Exceptions, File},
    functions,
};

/// A file of rmcp that is not run: see `exceptions.md`.
const NOT_RUN: &str = "test_with_js";

/// Begins the name of a target with the complete file of tests, where not all of it compiles.
pub(crate) const UNCUT: &str = "uncut_";

/// The platform whose packages are downloaded: this one.
const HOST: &str = "host-tuple";

/// The package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) directory: PathBuf,
    /// What was cut out of files.
    pub(crate) cuts: Vec<Cut>,
}

/// A test that was cut out.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) file: String,
    pub(crate) test: String,
    /// Its lines in the complete file. The first line of a file is 0.
    pub(crate) lines: Range<usize>,
}

impl Package {
    /// Creates the package, or updates it. Files that have not changed are not written, so that
    /// they are not compiled again.
    pub(crate) fn create(exceptions: &Exceptions) -> Self {
        let rmcp = source_of_rmcp(exceptions).join("tests");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let directory = directory.join("interop/rmcp");
        let mut package = Self { directory, cuts: Vec::new() };
        check_names(exceptions, &rmcp);
        for common in fs::read_dir(rmcp.join("common")).unwrap() {
            let common = common.unwrap();
            let text = fs::read_to_string(common.path()).unwrap();
            for tests in ["tests", "uncut"] {
                let name = common.file_name().into_string().unwrap();
                package.write(&format!("{tests}/common/{name}"), &text);
            }
        }
        let library = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut manifest = include_str!("package/manifest.toml")
            .replace("{version}", &exceptions.version)
            .replace("{rejoin}", library.to_str().unwrap());
        for file in &exceptions.files {
            manifest += &package.add(file, exceptions, &rmcp);
        }
        package.write("Cargo.toml", &manifest);
        package.write("facade.rs", include_str!("package/facade.rs"));
        // The versions of the workspace.
        let versions = fs::read_to_string(library.join("../../Cargo.lock")).unwrap();
        package.write("Cargo.lock", &versions);
        package.fetch();
        package
    }

    /// Returns a command of cargo in the package. It downloads nothing.
    pub(crate) fn cargo(&self, command: &str) -> Command {
        let mut cargo = cargo(command);
        cargo.current_dir(&self.directory).env("CARGO_TARGET_DIR", self.directory.join("target"));
        cargo.arg("--offline");
        cargo
    }

    /// Adds a file of tests, and returns its targets for the manifest.
    fn add(&mut self, file: &File, exceptions: &Exceptions, rmcp: &Path) -> String {
        let name = &file.name;
        let source = fs::read_to_string(rmcp.join(format!("{name}.rs"))).unwrap();
        let cuts = exceptions.uncompiled_in(name).map(|test| Cut {
            file: name.clone(),
            test: test.to_owned(),
            lines: functions::lines(&source, test),
        });
        let cuts: Vec<Cut> = cuts.collect();
        let lines: Vec<_> = cuts.iter().map(|cut| cut.lines.clone()).collect();
        let path = format!("tests/{name}.rs");
        self.write(&path, &functions::cut(&source, &lines));
        let mut targets = target(name, &path);
        if !cuts.is_empty() {
            let path = format!("uncut/{name}.rs");
            self.write(&path, &source);
            targets += &target(&format!("{UNCUT}{name}"), &path);
        }
        self.cuts.extend(cuts);
        targets
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.join(path);
        if fs::read_to_string(&path).is_ok_and(|previous| previous == text) {
            return;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Downloads the packages that are missing.
    fn fetch(&self) {
        if output(self.cargo("fetch").args(["--target", HOST])).status.success() {
            return;
        }
        let mut fetch = cargo("fetch");
        let fetch = output(fetch.current_dir(&self.directory).args(["--target", HOST]));
        let errors = String::from_utf8_lossy(&fetch.stderr);
        assert!(
            fetch.status.success(),
            "CANNOT DOWNLOAD the packages that the tests of rmcp need:\n{errors}"
        );
    }
}

/// Returns the directory of the source package of rmcp that the library is built with.
fn source_of_rmcp(exceptions: &Exceptions) -> PathBuf {
    let metadata = || {
        let mut metadata = cargo("metadata");
        metadata
            .args(["--format-version", "1", "--filter-platform", HOST])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        metadata
    };
    let mut found = output(metadata().arg("--offline"));
    if !found.status.success() {
        found = output(&mut metadata());
    }
    let errors = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "CANNOT DOWNLOAD the packages of the workspace:\n{errors}");
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let packages = found["packages"].as_array().unwrap();
    let rmcp = packages.iter().find(|package| package["name"] == "rmcp").unwrap();
    assert_eq!(
        rmcp["version"], exceptions.version,
        "tests/rmcp/exceptions.md is about another version of rmcp"
    );
    Path::new(rmcp["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// Checks that the listed files are those that name the session manager.
fn check_names(exceptions: &Exceptions, rmcp: &Path) {
    let mut names = BTreeSet::new();
    for file in fs::read_dir(rmcp).unwrap() {
        let path = file.unwrap().path();
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if is_source && fs::read_to_string(&path).unwrap().contains("LocalSessionManager") {
            names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    let listed = exceptions.files.iter().map(|file| file.name.as_str()).chain([NOT_RUN]);
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(names, listed, "files of rmcp that name LocalSessionManager, and those listed");
}

/// Returns the part of the manifest about a target.
fn target(name: &str, path: &str) -> String {
    format!("\n[[test]]\nname = \"{name}\"\npath = \"{path}\"\n")
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(command).stdin(Stdio::null());
    cargo
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"))
}
