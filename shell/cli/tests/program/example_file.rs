//! The example configuration file, `docs/rejoin.example.toml`.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use rejoin_test_support::{Program, program_path};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rejoin.example.toml");

#[test]
fn the_example_file_is_valid_and_its_commented_keys_exist() {
    // The command of the example may not be installed.
    let program = Program::serve(&["--config", EXAMPLE, "--", "cat"]);
    assert_eq!(program.path, "/mcp");

    let help = Command::new(program_path())
        .args(["serve", "--help"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let commented = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    let keys: BTreeMap<String, toml::Value> = toml::from_str(&text).unwrap();
    let keys = keys.keys().map(String::as_str).chain(commented.map(|(key, _)| key));
    for key in keys.filter(|key| *key != "command") {
        assert!(help.contains(&format!("--{key}")), "{key} is not an option");
    }
}
