//! What npm and pip install, once for each change of what is pinned.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// Returns where cargo builds.
pub(crate) fn build_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Returns a file of the folder `tests/interop`.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop").join(path)
}

/// Returns the folder where the packages of npm are, and beside them the scripts that
/// use them, because a script finds a package by where it is itself.
pub(crate) fn npm() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let pinned = ["package.json", "package-lock.json", ".npmrc"];
        let recipe = pinned.map(|name| fs::read_to_string(source(name)).unwrap()).concat();
        let folder = once("npm", &recipe, |folder| {
            for name in pinned {
                fs::copy(source(name), folder.join(name)).unwrap();
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
            run(npm.current_dir(folder));
        });
        for script in fs::read_dir(source("clients/typescript")).unwrap() {
            let script = script.unwrap();
            fs::copy(script.path(), folder.join(script.file_name())).unwrap();
        }
        folder
    });
    &FOLDER
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
    assert!(path.exists(), "npm installed no Node.js for {system} on {processor}");
    path
}

/// What a Python is installed for.
#[derive(Clone, Copy)]
pub(crate) enum Python {
    Sdk1,
    Sdk2,
    Servers,
}

/// Returns the path of a Python with its packages.
pub(crate) fn python(purpose: Python) -> PathBuf {
    static SDK_1: Environment = LazyLock::new(|| environment("1"));
    static SDK_2: Environment = LazyLock::new(|| environment("2"));
    static SERVERS: Environment = LazyLock::new(|| environment("servers"));
    let folder: &Path = match purpose {
        Python::Sdk1 => &SDK_1,
        Python::Sdk2 => &SDK_2,
        Python::Servers => &SERVERS,
    };
    folder.join("bin/python")
}

type Environment = LazyLock<PathBuf>;

fn environment(name: &str) -> PathBuf {
    let requirements = source(&format!("requirements-{name}.txt"));
    let version = run(Command::new("python3").arg("--version"));
    let recipe = version + &fs::read_to_string(&requirements).unwrap();
    once(&format!("python-{name}"), &recipe, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
        run(pip.arg(requirements));
    })
}

/// Returns a folder of the build folder, made anew unless the same recipe made it before.
fn once(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = build_folder().join("interop").join(name);
    let label = folder.join("recipe");
    if fs::read_to_string(&label).is_ok_and(|made| made == recipe) {
        return folder;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    make(&folder);
    fs::write(label, recipe).unwrap();
    folder
}

/// Runs a command to its end, and returns what it said; its errors are shown.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?} failed with {}\n{said}", output.status);
    said
}
