//! Lookup of the command, before it is started.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

/// Where the system looks for commands if `PATH` is not set.
pub(super) const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Looks up a command as `execvp` does: by its path if it contains a `/`, otherwise in the
/// directories of `path`. Relative paths begin at `working_dir`.
///
/// # Errors
///
/// The command does not exist, or this user may not execute it.
pub(super) fn find(command: &OsStr, path: &OsStr, working_dir: Option<&Path>) -> io::Result<()> {
    let resolve = |file: PathBuf| working_dir.unwrap_or(Path::new("")).join(file);
    if command.as_bytes().contains(&b'/') {
        return check(&resolve(command.into()));
    }
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "no such command in PATH");
    for directory in env::split_paths(path) {
        match check(&resolve(directory.join(command))) {
            Ok(()) => return Ok(()),
            // Another directory may have one that can be executed.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

/// Checks that a file can be executed.
fn check(file: &Path) -> io::Result<()> {
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "is a directory"));
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
    fn lookup_finds_what_the_system_finds() {
        assert_eq!(kind("sh", "/no/such:/bin", None), None);
        assert_eq!(kind("/bin/sh", "", None), None);
        assert_eq!(kind("./sh", "", Some("/bin")), None);
        assert_eq!(kind("sh", "bin", Some("/")), None);
    }

    #[test]
    fn lookup_error_distinguishes_missing_from_denied() {
        let (missing, denied) =
            (Some(io::ErrorKind::NotFound), Some(io::ErrorKind::PermissionDenied));
        assert_eq!(kind("sh", "/no/such", None), missing);
        assert_eq!(kind("./sh", "/bin", Some("/etc")), missing);
        assert_eq!(kind("passwd", "/etc", None), denied);
        assert_eq!(kind("/bin", "", None), denied);
    }
}
