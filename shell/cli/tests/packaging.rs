//! What packages of the program contain: completions, manual pages, a systemd unit and a Dockerfile.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rejoin_test_support::program_path;
use tempfile::TempDir;

/// The root of the repository, which is the context of the Dockerfile.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn packaging(file: &str) -> String {
    fs::read_to_string(root().join("shell/cli/packaging").join(file)).unwrap()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns whether a tool exists. If not, the output of the test says what was not checked.
#[expect(clippy::print_stderr, reason = "output of a test")]
fn has(tool: &str, unchecked: &str) -> bool {
    let exists = Command::new(tool).arg("--version").output().is_ok();
    if !exists {
        eprintln!("SKIPPED: {unchecked}: {tool} is not installed");
    }
    exists
}

/// Returns the long options that a text names.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_lowercase() && character != '-');
    let options = words.filter(|word| word.len() > 3 && word.starts_with("--"));
    options.map(|option| option.trim_end_matches('-').to_owned()).collect()
}

#[test]
fn bash_completes_subcommands_and_options() {
    let complete = |words: &str| {
        let script = format!(
            r#"source <("$0" completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _rejoin rejoin "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"; echo "${{COMPREPLY[@]}}""#
        );
        let output = run(Command::new("bash").args(["-c", &script]).arg(program_path()));
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    assert_eq!(complete("rejoin conn"), "connect\n");
    assert_eq!(complete("rejoin serve --drain-t"), "--drain-timeout\n");
    assert_eq!(complete("rejoin serve --log-format j"), "json\n");
}

#[test]
fn every_option_has_its_place_in_the_manual() {
    let directory = TempDir::new().unwrap();
    let written = run(Command::new(program_path()).arg("manual").arg(directory.path()));
    assert!(written.status.success(), "{written:?}");
    let pages: BTreeSet<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names = ["completions.1", "connect.1", "manual.1", "replay.1", "serve.1"];
    let expected = names.map(|name| format!("rejoin-{name}"));
    assert_eq!(pages, ["rejoin.1".to_owned()].into_iter().chain(expected).collect());
    for subcommand in ["serve", "connect", "replay"] {
        let help = run(Command::new(program_path()).args([subcommand, "--help"]));
        let page = fs::read_to_string(directory.path().join(format!("rejoin-{subcommand}.1")));
        // In roff, bold text is between `\fB` and `\fR`, and hyphens are escaped.
        let page = page.unwrap().replace("\\fB", " ").replace("\\fR", " ").replace('\\', "");
        let missing = &options(&text(&help.stdout)) - &options(&page);
        assert!(missing.is_empty(), "{subcommand}: {missing:?}");
    }
    if has("groff", "syntax of the manual pages") {
        for page in pages {
            let mut groff = Command::new("groff");
            let output = run(groff.args(["-man", "-ww", "-z"]).arg(directory.path().join(page)));
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }
}

#[test]
fn the_systemd_unit_is_valid() {
    let unit = packaging("rejoin.service");
    if !has("systemd-analyze", "the systemd unit") {
        return;
    }
    let directory = TempDir::new().unwrap();
    // The program must exist.
    let installed = unit.replace("/usr/local/bin/rejoin", &program_path());
    assert_ne!(installed, unit);
    let file = directory.path().join("rejoin.service");
    fs::write(&file, installed).unwrap();
    let output = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file));
    let errors = text(&output.stderr);
    assert!(output.status.success() && !errors.contains("rejoin.service"), "{errors}");
}

/// Returns the arguments of each instruction with a name, with continued lines joined.
fn instructions(dockerfile: &str, name: &str) -> Vec<String> {
    let joined = dockerfile.replace("\\\n", " ");
    let arguments = joined.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    arguments.map(str::to_owned).collect()
}

#[test]
fn the_dockerfile_builds_this_program_for_an_image_that_can_run_it() {
    let dockerfile = packaging("Dockerfile");
    let build = &instructions(&dockerfile, "RUN")[0];
    let cargo: Vec<_> = build.split(' ').collect();
    // Cargo accepts the command with what the context has, without a network.
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--depth", "0", "--offline", "--locked", "--package", cargo[5]]);
    let output = run(tree.current_dir(root()));
    assert_eq!(cargo[..5], ["cargo", "build", "--release", "--locked", "--package"]);
    assert!(text(&output.stdout).starts_with("rejoin-cli v"), "{output:?}");
    let ignored = packaging("Dockerfile.dockerignore");
    assert!(!ignored.lines().any(|line| root().join(line).is_dir() && line != ".git"), "{ignored}");
    // The toolchain of the image is not older than the one that the crates need.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let toolchain = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let image = format!("rust:{}-slim", toolchain.trim_matches('"'));
    assert!(instructions(&dockerfile, "FROM")[0].starts_with(&image), "{image}");
    // The program is where the build has it, and listens by the option that is set.
    assert!(instructions(&dockerfile, "COPY")[1].contains(" /src/target/release/rejoin "));
    let variables = instructions(&dockerfile, "ENV");
    let (variable, address) = variables[0].split_once('=').unwrap();
    let mut program = Command::new(program_path());
    program.args(["serve", "--max-connections", "500"]).env(variable, "no address");
    let error = text(&run(&mut program).stderr);
    assert!(error.contains(&format!("{variable} (environment variable of --listen)")), "{error}");
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(instructions(&dockerfile, "EXPOSE"), [port]);
    // A slim Debian has the C library and libgcc, and nothing else that the program needs.
    let linked = text(&run(Command::new("ldd").arg(program_path())).stdout);
    let allowed = ["linux-vdso", "libgcc_s.so", "libc.so", "libm.so", "ld-linux"];
    for line in linked.lines() {
        assert!(allowed.iter().any(|library| line.contains(library)), "{line}");
    }
}
