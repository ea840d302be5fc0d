//! The command line, environment variables and the configuration file.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use rejoin_test_support::{Client, Program, program_path};

fn rejoin(arguments: &[&str]) -> Command {
    let mut command = Command::new(program_path());
    command.args(arguments);
    command
}

/// Returns stderr of the program, which must have exited with `code`.
fn stderr_of(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Returns stdout of the program, which must have succeeded.
fn stdout_of(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_shows_defaults_and_environment_variables() {
    let help = stdout_of(rejoin(&["serve", "--help"]).output().unwrap());
    // Undo line wrapping.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "--listen <ADDRESS>",
        "127.0.0.1:8848",
        "REJOIN_MAX_SESSIONS",
        "--idle-timeout <DURATION>",
        "[default: 5m]",
        "--max-request-body <SIZE>",
        "[default: 4MiB]",
        "--journal",
    ] {
        assert!(help.contains(expected), "{expected}: {help}");
    }
    for (flag, columns) in [("-h", "80"), ("-h", "120"), ("--help", "80"), ("--help", "120")] {
        let output = rejoin(&["serve", flag]).env("COLUMNS", columns).output().unwrap();
        let (help, columns) = (stdout_of(output), columns.parse().unwrap());
        let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= columns, "{longest}");
    }
    assert!(stdout_of(rejoin(&["--help"]).output().unwrap()).contains("replay"));
    let version = stdout_of(rejoin(&["--version"]).output().unwrap());
    assert_eq!(version.trim(), format!("rejoin {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn errors_name_the_wrong_flag() {
    let stderr = stderr_of(rejoin(&["serve", "--idle-timeout", "soon"]).output().unwrap(), 2);
    assert!(stderr.contains("--idle-timeout") && stderr.contains("soon"), "{stderr}");
    let stderr = stderr_of(rejoin(&["serve", "--idle-tmeout", "1s"]).output().unwrap(), 2);
    assert!(stderr.contains("--idle-tmeout"), "{stderr}");
}

#[test]
fn errors_name_the_wrong_environment_variable() {
    let output = rejoin(&["serve"]).env("REJOIN_MAX_SESSIONS", "many").output().unwrap();
    let stderr = stderr_of(output, 2);
    assert!(stderr.contains("REJOIN_MAX_SESSIONS") && stderr.contains("many"), "{stderr}");
}

#[test]
fn errors_name_the_wrong_key_and_its_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (text, named) in
        [("retension = \"1s\"", "retension"), ("retention = 1", "retention"), ("=", "line 1")]
    {
        fs::write(path, text).unwrap();
        let stderr = stderr_of(rejoin(&["serve", "--config", path]).output().unwrap(), 2);
        assert!(stderr.contains(named) && stderr.contains(path), "{stderr}");
    }
    let stderr = stderr_of(rejoin(&["serve", "--config", "/no/such/file"]).output().unwrap(), 2);
    assert!(stderr.contains("/no/such/file"), "{stderr}");
}

#[test]
fn errors_name_an_address_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stderr = stderr_of(rejoin(&["serve", "--listen", &address]).output().unwrap(), 1);
    assert!(stderr.contains(&address), "{stderr}");
}

#[test]
fn stdout_has_only_the_url_and_hints_are_for_terminals() {
    let mut serve = rejoin(&["--listen", "127.0.0.1:0"]);
    let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("http://127.0.0.1:") && line.ends_with("/mcp\n"), "{line}");
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
    assert_eq!(io::read_to_string(stdout).unwrap(), "");
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("listening") && !log.contains("curl"), "{log}");
}

#[tokio::test]
async fn the_printed_url_works() {
    for listen in ["0.0.0.0:0", "localhost:0", "0"] {
        let program = Program::start(&mut rejoin(&["--listen", listen]));
        assert_eq!(program.url, format!("http://{}/mcp", program.address));
        assert!(program.address.starts_with("127.0.0.1:"), "{}", program.address);
        Client::initialize(&program.address).await;
    }
}

#[test]
fn a_command_without_a_separator_gets_a_hint() {
    let stderr = stderr_of(rejoin(&["npx", "-y", "server"]).output().unwrap(), 2);
    assert!(stderr.contains("`rejoin -- npx -y server`"), "{stderr}");
}

/// Starts and stops the program. Returns whether it logged the shutdown, at level `info`.
fn logs_info(command: &mut Command) -> bool {
    Program::start(command.stderr(Stdio::piped())).stop().contains("SIGTERM")
}

#[test]
fn log_level_takes_precedence_over_rust_log() {
    let listen = ["--listen", "127.0.0.1:0"];
    let warning = [&listen[..], &["--log-level", "warning"]].concat();
    assert!(!logs_info(rejoin(&warning).env("RUST_LOG", "debug")));
    assert!(!logs_info(rejoin(&listen).env("RUST_LOG", "rejoin=warn")));
    assert!(logs_info(rejoin(&listen).env("RUST_LOG", "rejoin=debug")));
    assert!(logs_info(rejoin(&listen).env("RUST_LOG", "")));
    let output = rejoin(&listen).env("RUST_LOG", "rejoin=loud").output().unwrap();
    assert!(stderr_of(output, 2).contains("RUST_LOG"));
}

#[tokio::test]
async fn a_configuration_file_is_applied() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "path = \"/here\"\n").unwrap();
    let program = Program::serve(&["--config", file.path().to_str().unwrap()]);
    assert_eq!(program.path, "/here");
}
