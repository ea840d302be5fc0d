//! Which options a server of the file can have: those that concern its sessions and its processes.

use crate::config::options::Options;

/// Groups of options of which each server can have its own.
const GROUPS: &[&str] = &["Sessions", "Requests", "Messages", "Streams and replay", "Slow clients"];

/// Options of other groups of which each server can have its own.
const OPTIONS: &[&str] = &[
    "allow_host",
    "allow_origin",
    "body_timeout",
    "concurrent_get",
    "cors",
    "json_responses",
    "max_session_connections",
    "max_shadows",
    "env_clear",
    "header_env",
    "max_starts_per_second",
    "reconnect_after",
    "reconnect_delay",
    "sse_keep_alive",
    "start_grace",
    "stop_timeout",
    "takeover",
];

/// Checks that each option that is set can be set for one server.
pub(super) fn check(options: &Options) -> anyhow::Result<()> {
    for (name, group) in options.set() {
        if GROUPS.contains(&group) || OPTIONS.contains(&name) {
            continue;
        }
        let name = name.replace('_', "-");
        let instead = match name.as_str() {
            "command" | "cwd" | "env" => format!("use the key `{name}` of the server"),
            _ => format!("use --{name}, which is for the whole program"),
        };
        anyhow::bail!("`rejoin`: `{name}` cannot be set in this file: {instead}");
    }
    Ok(())
}
