//! The limit of open files, which connections and pipes count against.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::ProgramConfig;

/// How many files a session with a command has open here: stdin, stdout and stderr of its
/// process, and the process itself.
const FILES_PER_SESSION: u64 = 4;

/// How many files are open besides: the log, the listener, the guard, journals, children that
/// are being started.
const FILES_OTHER: u64 = 128;

/// Raises the soft limit to the hard one, which the command does not notice: it gets the limit
/// that was there before, since many programs look at each file that they could have open.
/// Where the limit is still too low for `--max-connections`, fewer connections are accepted, and a
/// warning says so if the user asked for more, or if there are more sessions than connections.
pub(super) fn raise_limit(config: &mut ProgramConfig) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, ..before };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => config.open_files = before.current,
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else { return };
    let has_command = !config.command.is_empty();
    let sessions = if has_command { config.sessions.sessions_max as u64 } else { 0 };
    let connections = connections_allowed(limit, sessions);
    if connections < connections_needed(config) {
        tracing::warn!(
            "open files are limited to {limit}, which is too few for --max-connections {} and \
             --max-sessions {}: {connections} connections at most are accepted at a time. Raise \
             the limit (`ulimit -n`, `LimitNOFILE=`), or lower these options",
            config.connections_max,
            config.sessions.sessions_max,
        );
    }
    config.connections_max =
        config.connections_max.min(usize::try_from(connections).unwrap_or(usize::MAX));
}

/// Returns how many connections must be possible: as many as the user asked for, else one for
/// each session, up to the default.
fn connections_needed(config: &ProgramConfig) -> u64 {
    let needed = if config.connections_max_is_set {
        config.connections_max
    } else {
        config.connections_max.min(config.sessions.sessions_max)
    };
    needed as u64
}

/// Returns how many connections there may be beside so many sessions with a command; a quarter
/// of all files at least, since not all sessions may be there.
fn connections_allowed(limit: u64, sessions: u64) -> u64 {
    let others = sessions.saturating_mul(FILES_PER_SESSION).saturating_add(FILES_OTHER);
    limit.saturating_sub(others).max(limit / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_the_rest_of_the_limit_and_at_least_a_quarter() {
        assert_eq!(connections_allowed(20_000, 0), 19_872);
        assert_eq!(connections_allowed(1_024, 100), 496);
        assert_eq!(connections_allowed(1_024, 10_000), 256);
        assert_eq!(connections_allowed(1, 1), 1);
    }

    #[test]
    fn the_default_needs_one_connection_per_session() {
        let mut config = ProgramConfig::default();
        config.sessions.sessions_max = 100;
        assert_eq!(connections_needed(&config), 100);
        config.sessions.sessions_max = 1_000_000;
        assert_eq!(connections_needed(&config), 20_000);
        config.connections_max_is_set = true;
        config.sessions.sessions_max = 100;
        assert_eq!(connections_needed(&config), 20_000);
    }
}
