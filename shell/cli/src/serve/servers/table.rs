//! The table of servers: which of them a request reaches.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use http::HeaderMap;

use super::Server;
use crate::{config::ServerName, serve::access_log::parse_session_id};

/// What precedes and follows the name of a server in its path.
const PREFIX: &str = "/servers/";
const SUFFIX: &str = "/mcp";

/// The servers at one time.
#[derive(Clone, Default)]
pub(super) struct Table {
    /// The servers of the file.
    pub(super) named: BTreeMap<ServerName, Arc<Server>>,
    /// The one that --path leads to: the command, the demo server, or the only one of the file.
    pub(super) single: Option<Arc<Server>>,
    /// Changed and removed servers that still have sessions, the latest last.
    pub(super) retiring: Vec<Arc<Server>>,
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// --path.
    Single,
    Named(&'a str),
}

impl Table {
    /// Returns a table of the only server, which has no name.
    pub(super) fn of_single(server: Arc<Server>) -> Self {
        server.set_single();
        Self { single: Some(server), ..Self::default() }
    }

    /// Replaces the servers of the file.
    pub(super) fn set_named(&mut self, named: BTreeMap<ServerName, Arc<Server>>) {
        let is_single = named.len() == 1;
        self.single = named.values().next().filter(|_| is_single).cloned();
        if let Some(single) = &self.single {
            single.set_single();
        }
        self.named = named;
    }

    /// Returns every server that can have sessions.
    pub(super) fn all(&self) -> Vec<Arc<Server>> {
        let unnamed = self.single.iter().filter(|server| server.name.is_none());
        unnamed.chain(self.named.values()).chain(&self.retiring).cloned().collect()
    }

    /// Returns the server that a request reaches: the one with its session, else the current one.
    pub(super) fn find(&self, root: &str, path: &str, headers: &HeaderMap) -> Option<Arc<Server>> {
        let target = target(root, path)?;
        let current = match target {
            Target::Single => self.single.as_ref(),
            Target::Named(name) => self.named.get(name),
        };
        // Only now there can be sessions that belong to another server.
        let has_others = !self.retiring.is_empty() || current.is_none();
        if has_others && let Some(id) = parse_session_id(headers) {
            let has_session = |server: &&Arc<Server>| server.sessions().has_session(id);
            let mut others =
                self.retiring.iter().chain(self.named.values()).filter(|server| match target {
                    Target::Single => server.was_single.load(Ordering::Relaxed),
                    Target::Named(name) => server.name.as_ref().is_some_and(|n| n.as_str() == name),
                });
            if !current.as_ref().is_some_and(has_session)
                && let Some(other) = others.find(has_session)
            {
                return Some(Arc::clone(other));
            }
        }
        current.cloned()
    }
}

/// Returns what a path leads to. A trailing slash does not make a different path.
fn target<'a>(root: &str, path: &'a str) -> Option<Target<'a>> {
    let path = without_slash(path);
    if path == without_slash(root) {
        return Some(Target::Single);
    }
    path.strip_prefix(PREFIX)?.strip_suffix(SUFFIX).map(Target::Named)
}

/// Strips a trailing slash, which does not make a different path.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Returns the path of a server with a name.
pub(super) fn path_of(name: &ServerName) -> String {
    format!("{PREFIX}{name}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_single_server_or_to_a_name() {
        let name = |path| match target("/mcp", path) {
            None => "nothing".to_owned(),
            Some(Target::Single) => "single".to_owned(),
            Some(Target::Named(name)) => format!("named {name}"),
        };
        assert_eq!(name("/mcp"), "single");
        assert_eq!(name("/mcp/"), "single");
        assert_eq!(name("/servers/git/mcp"), "named git");
        assert_eq!(name("/servers/git/mcp/"), "named git");
        for other in ["", "/", "/mcp//", "/servers/git", "/servers/git/mcp/x", "/servers/mcp"] {
            assert_eq!(name(other), "nothing", "{other}");
        }
    }
}
