//! Notifications to systemd, received on the socket that it would have.

use std::{fs, os::unix::net::UnixDatagram, process::Command, time::Duration};

use rejoin_test_support::{Program, program_path};
use tempfile::TempDir;

/// A stand-in for systemd.
struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, dir }
    }

    /// Starts the program as a service of `Type=notify`.
    fn start(&self, variables: &[(&str, &str)], options: &[&str]) -> Program {
        let mut command = Command::new(program_path());
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        command.envs(variables.iter().copied());
        Program::serve_with(command, options)
    }

    /// Waits for the next notification.
    fn next(&self) -> String {
        let mut buffer = [0; 1_000];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[test]
fn systemd_is_told_of_start_and_stop() {
    let manager = Manager::new();
    let program = manager.start(&[], &[]);
    assert_eq!(manager.next(), "READY=1\n");
    assert!(program.stop_with("TERM").success());
    assert_eq!(manager.next(), "STOPPING=1\n");
}

#[test]
fn the_watchdog_is_fed_until_the_program_exits() {
    let manager = Manager::new();
    let program = manager.start(&[("WATCHDOG_USEC", "100000")], &["--drain-delay", "600s"]);
    assert_eq!(manager.next(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    program.signal("TERM");
    while manager.next() != "STOPPING=1\n" {}
    assert_eq!(manager.next(), "WATCHDOG=1\n", "the shutdown has not ended");
    assert!(program.stop_with("INT").success());
}

#[test]
fn systemd_is_told_of_a_reload() {
    let manager = Manager::new();
    let file = manager.dir.path().join("mcp.json");
    fs::write(&file, r#"{"mcpServers":{"one":{"command":"/bin/cat"}}}"#).unwrap();
    let program = manager.start(&[], &["--servers", file.to_str().unwrap()]);
    assert_eq!(manager.next(), "READY=1\n");
    program.signal("HUP");
    let reloading = manager.next();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(time.trim_end().parse::<u64>().unwrap() > 0, "{reloading}");
    assert_eq!(manager.next(), "READY=1\n");
    assert!(program.stop_with("TERM").success());
}
