//! Whether there is a command, before it is started.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

/// Where the system looks for commands if nothing is said.
pub(super) const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Looks for a command as the system does when it starts one: by its path, if it has a `/` in
/// it, else in the folders of `path`. Relative paths begin at `working_dir`.
///
/// # Errors
///
/// There is none, or none that this user may execute.
pub(super) fn find(command: &OsStr, path: &OsStr, working_dir: Option<&Path>) -> io::Result<()> {
    let there = |file: PathBuf| working_dir.unwrap_or(Path::new("")).join(file);
    if command.as_bytes().contains(&b'/') {
        return check(&there(command.into()));
    }
    let mut why = io::Error::new(io::ErrorKind::NotFound, "no such command in PATH");
    for folder in env::split_paths(path) {
        match check(&there(folder.join(command))) {
            Ok(()) => return Ok(()),
            // Another folder may have one that can be executed.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => why = error,
            Err(_) => {}
        }
    }
    Err(why)
}

/// Returns whether a file can be executed.
fn check(file: &Path) -> io::Result<()> {
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is a folder"));
    }
    Ok(access(file, Access::EXEC_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(command: &str, path: &str, working_dir: Option<&str>) -> Option<io::ErrorKind> {
        let found = find(OsStr::new(command), OsStr::new(path), working_dir.map(Path::new));
        found.err().map(|error| error.kind())
    }

    #[test]
    fn a_command_is_found_as_the_system_finds_it() {
        assert_eq!(kind("sh", "/no/such:/bin", None), None);
        assert_eq!(kind("/bin/sh", "", None), None);
        assert_eq!(kind("./sh", "", Some("/bin")), None);
        assert_eq!(kind("sh", "bin", Some("/")), None);
    }

    #[test]
    fn what_is_wrong_with_a_command_is_said() {
        let (missing, denied) =
            (Some(io::ErrorKind::NotFound), Some(io::ErrorKind::PermissionDenied));
        assert_eq!(kind("sh", "/no/such", None), missing);
        assert_eq!(kind("./sh", "/bin", Some("/etc")), missing);
        assert_eq!(kind("passwd", "/etc", None), denied);
        assert_eq!(kind("/bin", "", None), denied);
    }
}
