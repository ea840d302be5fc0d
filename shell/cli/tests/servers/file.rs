//! Files that cannot be served.

use std::{fs, process::Command};

use rejoin_test_support::program_path;

fn error(options: &[&str], text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let mut command = Command::new(program_path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--servers", path]).args(options);
    let output = command.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap().replace(path, "FILE")
}

#[test]
fn an_invalid_file_is_not_served() {
    for (text, parts) in [
        ("{", &["FILE: EOF while parsing", "line 1"][..]),
        (r#"{"mcpServers":{"git":{"comand":"x"}}}"#, &["FILE: server `git`", "`comand`", "line 1"]),
        (
            r#"{"mcpServers":{"git":{"command":"/no/such/command"}}}"#,
            &["FILE: server `git`: cannot start `/no/such/command`"],
        ),
        (
            r#"{"mcpServers":{"git":{"command":"sh","env":{"KEY":"${REJOIN_TEST_UNSET}"}}}}"#,
            &["FILE: server `git`: `env.KEY`", "`REJOIN_TEST_UNSET` is not set"],
        ),
    ] {
        let error = error(&[], text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
}

#[test]
fn options_that_contradict_a_file_are_refused() {
    let text = r#"{"mcpServers":{"git":{"command":"sh"}}}"#;
    let with_command = error(&["--", "sh"], text);
    assert!(with_command.contains("--servers cannot be used together"), "{with_command}");
    let with_path = error(&["--path", "/servers/git/mcp"], text);
    assert!(with_path.contains("--path must not begin with `/servers/`"), "{with_path}");
}
