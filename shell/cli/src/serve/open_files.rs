//! The limit of open files (`RLIMIT_NOFILE`), which connections and pipes count against.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    admin,
    config::{NamedServer, ProgramConfig},
};

/// Open files per session with a command: stdin, stdout and stderr of its process, and a file
/// descriptor of the process itself.
const FILES_PER_SESSION: u64 = 4;

/// Other open files: connections of operators, and the log, the listeners, the watchdog, journals,
/// processes that are being started.
const FILES_OTHER: u64 = admin::CONNECTIONS_MAX as u64 + 64;

/// Raises the soft limit to the hard limit. The command gets the former soft limit, since many
/// programs iterate over all file descriptors that they could have open.
pub(super) fn raise_limit(config: &mut ProgramConfig) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, ..before };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => config.open_files = before.current,
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// If the limit is too low for `--max-connections`, lowers the number of connections. Warns if the
/// user had set that option, or if there may be more sessions than connections.
pub(super) fn limit_connections(config: &mut ProgramConfig, named: Option<&[NamedServer]>) {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return };
    let sessions_max = named.map_or(config.sessions.sessions_max, sum_of_sessions);
    let has_processes = named.is_some() || !config.command.is_empty();
    let connections = connections_allowed(limit, if has_processes { sessions_max } else { 0 });
    if connections < connections_needed(config, sessions_max) {
        tracing::warn!(
            "the limit of {limit} open files is too low for --max-connections {} and \
             --max-sessions {sessions_max}: accepting at most {connections} connections at a time. \
             Raise the limit (`ulimit -n`, `LimitNOFILE=`), or lower these options",
            config.tcp_connections_max,
        );
    }
    config.tcp_connections_max =
        config.tcp_connections_max.min(usize::try_from(connections).unwrap_or(usize::MAX));
}

/// Warns if the limit is too low for the servers of a file that was read again. The number of
/// connections stays the same.
pub(super) fn check_reloaded(config: &ProgramConfig, named: &[NamedServer]) {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return };
    let sessions_max = sum_of_sessions(named);
    if connections_allowed(limit, sessions_max) < connections_needed(config, sessions_max) {
        tracing::warn!(
            "the limit of {limit} open files is too low for {} connections and the reloaded \
             --max-sessions {sessions_max}: connections and sessions may fail. Restart with a \
             higher limit (`ulimit -n`, `LimitNOFILE=`), or lower --max-sessions",
            config.tcp_connections_max,
        );
    }
}

/// Returns the maximum number of sessions of all servers.
fn sum_of_sessions(servers: &[NamedServer]) -> usize {
    servers.iter().fold(0, |sum, server| sum.saturating_add(server.config.sessions.sessions_max))
}

/// Returns the number of connections below which a warning is due: what the user set, else one
/// for each session, up to the default.
fn connections_needed(config: &ProgramConfig, sessions_max: usize) -> u64 {
    let needed = if config.tcp_connections_max_is_set {
        config.tcp_connections_max
    } else {
        config.tcp_connections_max.min(sessions_max)
    };
    needed as u64
}

/// Returns how many connections fit into the limit beside `sessions` sessions with a command. At
/// least a quarter of the limit, since there may be fewer sessions.
fn connections_allowed(limit: u64, sessions_max: usize) -> u64 {
    let others =
        (sessions_max as u64).saturating_mul(FILES_PER_SESSION).saturating_add(FILES_OTHER);
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
        assert_eq!(connections_needed(&config, 100), 100);
        assert_eq!(connections_needed(&config, 1_000_000), 20_000);
        config.tcp_connections_max_is_set = true;
        assert_eq!(connections_needed(&config, 100), 20_000);
    }
}
