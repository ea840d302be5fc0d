//! Files, right and wrong.

use super::*;

fn parsed(text: &str) -> anyhow::Result<Vec<NamedServer>> {
    let program = ProgramConfig::default();
    parse(text, &program, &|name| (name == "TOKEN").then(|| "hunter2-token".into()))
}

fn error(text: &str) -> String {
    format!("{:#}", parsed(text).unwrap_err())
}

/// Returns the error for a server `git` with these members.
fn error_of(members: &str) -> String {
    error(&format!("{{\n\"mcpServers\": {{\n\"git\": {{ {members} }} }} }}"))
}

#[test]
fn servers_have_what_the_file_says_about_them() {
    let servers = parsed(
        r#"{
            "$schema": "x", "globalShortcut": "", "preferences": {},
            "mcpServers": {
                "time": { "command": "uvx", "disabled": false, "enabled": true, "args": null },
                "git": {
                    "type": "stdio", "transport": "stdio", "transportType": "stdio",
                    "command": "npx", "args": ["-y", "${SERVER:-git}", 5], "cwd": "/",
                    "env": { "TOKEN": "Bearer ${TOKEN}", "PORT": 80, "DEBUG": true },
                    "name": "Git", "description": "", "icon": "", "gallery": true,
                    "timeout": 60, "autoApprove": ["log"], "alwaysAllow": [],
                    "rejoin": { "max-sessions": 3, "idle-timeout": "2min" }
                },
                "off": { "disabled": true, "url": "http://localhost/mcp" },
                "out": { "enabled": false }
            },
            "rejoin": { "max-sessions": 7, "max-memory": "64MiB", "allow-host": ["a.example"] }
        }"#,
    )
    .unwrap();
    let [git, time] = servers.as_slice() else { panic!("{servers:?}") };
    assert_eq!((git.name.as_str(), time.name.as_str()), ("git", "time"), "sorted");
    let (git, time) = (&git.config, &time.config);
    assert_eq!(git.command, ["npx", "-y", "git", "5"]);
    assert_eq!(git.cwd.as_os_str(), "/");
    let env: Vec<_> = git.env.iter().map(ToString::to_string).collect();
    assert_eq!(env, ["TOKEN=Bearer hunter2-token", "PORT=80", "DEBUG=true"]);
    assert_eq!((git.sessions.sessions_max, time.sessions.sessions_max), (3, 7));
    assert_eq!(git.sessions.session.idle_timeout, Some(std::time::Duration::from_secs(120)));
    assert_eq!(
        (git.sessions.memory_bytes_max, time.sessions.memory_bytes_max),
        (64 << 20, 64 << 20)
    );
    assert_eq!((&time.command, time.env.len()), (&vec!["uvx".to_owned()], 0));
    assert_eq!(time.http.hosts, ["a.example"]);
    assert!(!format!("{servers:?}").contains("hunter2"));
}

#[test]
fn servers_are_compared_with_the_values_of_variables() {
    let text = r#"{"mcpServers":{"git":{"command":"git","env":{"A":"${TOKEN}"}}}}"#;
    let program = ProgramConfig::default();
    let with = |value: &str| parse(text, &program, &|_| Some(value.into())).unwrap();
    assert_eq!(with("1"), with("1"));
    assert_ne!(with("1"), with("2"));
}

#[test]
fn errors_name_the_server_the_key_and_the_line() {
    for (members, parts) in [
        ("", &["server `git`: `command` is missing"][..]),
        (r#""command": """#, &["server `git`: `command` is empty"]),
        (r#""command": 5"#, &["server `git`", "expected a string", "line 3"]),
        (r#""command": "a", "comand": "b""#, &["server `git`: unknown field `comand`", "line 3"]),
        (r#""command": "a", "command": "b""#, &["server `git`: duplicate field `command`"]),
        (r#""command": "a", "args": "-y hunter2""#, &["server `git`: `args` must be", "line 3"]),
        (r#""command": "a", "args": [{}]"#, &["server `git`", "expected a string", "line 3"]),
        (r#""command": "a", "env": "T=hunter2""#, &["server `git`: `env` must be", "line 3"]),
        (r#""command": "a", "env": { "": "" }"#, &["\"\" is not a name of a variable", "line 3"]),
        (r#""command": "a", "env": { "A=B": "" }"#, &["\"A=B\" is not a name", "line 3"]),
        (r#""command": "a", "env": { "A": "", "A": "" }"#, &["`A` is there twice", "line 3"]),
        (r#""command": "a", "env": { "A": null }"#, &["server `git`", "expected a string"]),
        (
            r#""command": "a", "env": { "A": "${NO}" }"#,
            &["server `git`: `env.A`", "`NO` is not set"],
        ),
        (r#""command": "${NO}""#, &["server `git`: `command`", "`NO` is not set"]),
        (r#""command": "a", "args": ["${NO}"]"#, &["server `git`: `args`", "`NO` is not set"]),
        (r#""command": "a", "cwd": "${NO}""#, &["server `git`: `cwd`", "`NO` is not set"]),
        (r#""command": "a", "cwd": "/no/such""#, &["server `git`: `cwd`", "not a directory"]),
        (r#""command": "a", "args": ["${input:key}"]"#, &["`${input:key}` is not supported"]),
        (r#""command": "a", "args": ["\u0000"]"#, &["null character"]),
        (r#""url": "http://localhost""#, &["server `git`: it is remote"]),
        (r#""serverUrl": "http://localhost""#, &["server `git`: it is remote"]),
        (r#""command": "a", "type": "sse""#, &["server `git`: its type is \"sse\""]),
        (r#""command": "a", "disabled": "yes""#, &["server `git`", "expected a boolean", "line 3"]),
        (r#""command": "a", "disabledTools": []"#, &["unknown field `disabledTools`", "line 3"]),
        (r#""command": "a", "envFile": ".env""#, &["unknown field `envFile`", "line 3"]),
        (
            r#""command": "a", "rejoin": { "max-session": 1 }"#,
            &["unknown field `max-session`", "line 3"],
        ),
        (r#""command": "a", "rejoin": { "idle-timeout": 5 }"#, &["server `git`", "5m", "line 3"]),
        (
            r#""command": "a", "rejoin": { "max-sessions": 0 }"#,
            &["server `git`: --max-sessions must be"],
        ),
        (
            r#""command": "a", "rejoin": { "listen": 1 }"#,
            &["server `git`", "`listen` cannot be set", "--listen"],
        ),
        (
            r#""command": "a", "rejoin": { "drain-timeout": "1s" }"#,
            &["`drain-timeout` cannot be set"],
        ),
        (r#""command": "a", "rejoin": { "env": ["A=1"] }"#, &["`env` cannot be set", "key `env`"]),
    ] {
        let error = error_of(members);
        for part in parts {
            assert!(error.contains(part), "{members}: {error}");
        }
        assert!(!error.contains("hunter2"), "{members}: {error}");
    }
}

#[test]
fn errors_name_what_is_wrong_with_the_file() {
    let many: Vec<_> = (0..257).map(|number| format!(r#""s{number}":{{"command":"a"}}"#)).collect();
    let many = format!(r#"{{"mcpServers":{{{}}}}}"#, many.join(","));
    for (text, part) in [
        ("", "line 1 column 0"),
        ("{\n", "line 2"),
        ("[]", "invalid length 0"),
        ("{}", "missing field `mcpServers`"),
        (r#"{"servers":{}}"#, "unknown field `servers`, expected one of `mcpServers`"),
        (r#"{"mcpServers":{}}"#, "no server that is enabled"),
        (r#"{"mcpServers":[]}"#, "an object with a key for each server"),
        (r#"{"mcpServers":{"a b":{}}}"#, "\"a b\" is not a name of a server"),
        (r#"{"mcpServers":{"a":{"command":"a"},"a":{}}}"#, "the server `a` is there twice"),
        (r#"{"mcpServers":{},"rejoin":{"path":"/"}}"#, "`path` cannot be set in this file"),
        (r#"{"mcpServers":{},"rejoin":{"x":1}}"#, "unknown field `x`"),
        (&many, "more than 256 servers"),
    ] {
        assert!(error(text).contains(part), "{text}: {}", error(text));
    }
}

#[test]
fn errors_name_the_file_and_its_size_is_limited() {
    let program = ProgramConfig::default();
    let error = |file: &Path| format!("{:#}", read(file, &program).unwrap_err());
    assert!(error(Path::new("/no/such.json")).starts_with("/no/such.json: No such file"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " ".repeat(1 << 20)).unwrap();
    assert!(error(file.path()).contains("EOF while parsing"));
    std::fs::write(file.path(), " ".repeat((1 << 20) + 1)).unwrap();
    assert!(error(file.path()).contains("larger than 1048576 bytes"));
}
