//! Installation by npm and pip, repeated only if the pinned versions change.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// Returns the build directory of cargo.
pub(crate) fn build_directory() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Returns the path of a file in `tests/interop`.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop").join(path)
}

/// Returns the directory with the npm packages and the scripts that use them: Node.js resolves
/// packages relative to the script.
pub(crate) fn npm() -> &'static Path {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let pinned = ["package.json", "package-lock.json", ".npmrc"];
        let inputs = pinned.map(|name| fs::read_to_string(source(name)).unwrap()).concat();
        let directory = create_once("npm", &inputs, |directory| {
            for name in pinned {
                fs::copy(source(name), directory.join(name)).unwrap();
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
            run(npm.current_dir(directory));
        });
        for script in fs::read_dir(source("clients/typescript")).unwrap() {
            let script = script.unwrap();
            fs::copy(script.path(), directory.join(script.file_name())).unwrap();
        }
        directory
    });
    &DIRECTORY
}

/// Returns the path of the Node.js that npm installed.
pub(crate) fn node() -> PathBuf {
    let system = env::consts::OS;
    let processor = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let path = npm().join(format!("node_modules/node-{system}-{processor}/bin/node"));
    assert!(path.exists(), "npm did not install Node.js for {system} on {processor}");
    path
}

/// A virtual environment of Python.
#[derive(Clone, Copy)]
pub(crate) enum Python {
    Sdk1,
    Sdk2,
    Servers,
}

/// Returns the path of the interpreter of a virtual environment.
pub(crate) fn python(environment: Python) -> PathBuf {
    static SDK_1: VirtualEnvironment = LazyLock::new(|| create_environment("1"));
    static SDK_2: VirtualEnvironment = LazyLock::new(|| create_environment("2"));
    static SERVERS: VirtualEnvironment = LazyLock::new(|| create_environment("servers"));
    let directory: &Path = match environment {
        Python::Sdk1 => &SDK_1,
        Python::Sdk2 => &SDK_2,
        Python::Servers => &SERVERS,
    };
    directory.join("bin/python")
}

type VirtualEnvironment = LazyLock<PathBuf>;

fn create_environment(name: &str) -> PathBuf {
    let requirements = source(&format!("requirements-{name}.txt"));
    let version = run(Command::new("python3").arg("--version"));
    let inputs = version + &fs::read_to_string(&requirements).unwrap();
    create_once(&format!("python-{name}"), &inputs, |directory| {
        run(Command::new("python3").args(["-m", "venv"]).arg(directory));
        let mut pip = Command::new(directory.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
        run(pip.arg(requirements));
    })
}

/// Returns a subdirectory of the build directory, created again if the inputs have changed.
fn create_once(name: &str, inputs: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let directory = build_directory().join("interop").join(name);
    let stamp = directory.join("inputs");
    if fs::read_to_string(&stamp).is_ok_and(|previous| previous == inputs) {
        return directory;
    }
    if directory.exists() {
        fs::remove_dir_all(&directory).unwrap();
    }
    fs::create_dir_all(&directory).unwrap();
    make(&directory);
    fs::write(stamp, inputs).unwrap();
    directory
}

/// Runs a command, and returns its output; stderr is inherited.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?} failed with {}\n{stdout}", output.status);
    stdout
}
