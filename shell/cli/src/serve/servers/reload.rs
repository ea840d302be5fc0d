//! Reloading of the file: unchanged servers stay, the others are replaced.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::{Server, Servers, server::Common};
use crate::{
    config::{NamedServer, ProgramConfig, ServerName},
    serve::open_files,
};

/// What a reload has changed: numbers of servers.
#[derive(Debug, Default)]
struct Changes {
    unchanged: usize,
    changed: usize,
    added: usize,
    removed: usize,
}

impl Servers {
    /// Reads the file again. If that fails, nothing changes, and the log has the error.
    pub(in crate::serve) async fn reload(&self) {
        let Some(file) = &self.0.config.servers else { return };
        match self.try_reload().await {
            Ok(Some(Changes { unchanged, changed, added, removed })) => {
                tracing::info!(file, unchanged, changed, added, removed, "servers reloaded");
            }
            Ok(None) => tracing::info!("servers not reloaded: the program is shutting down"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "servers not reloaded: nothing has changed");
            }
        }
    }

    /// Returns what has changed, or `None` if the program shuts down.
    async fn try_reload(&self) -> anyhow::Result<Option<Changes>> {
        let servers = self.clone();
        // Reading a file may block, and so does the search for commands.
        let read = spawn_blocking(move || servers.read_again()).await;
        let (named, mut changes) = read.context("cannot read the file")??;
        Ok(self.replace(|table| {
            let old = std::mem::take(&mut table.named);
            table.set_named(named);
            let mut replaced = Vec::new();
            for (name, server) in old {
                match table.named.get(&name) {
                    Some(current) if Arc::ptr_eq(current, &server) => {}
                    Some(_) => replaced.push(server),
                    None => {
                        changes.removed += 1;
                        replaced.push(server);
                    }
                }
            }
            self.retire(table, replaced);
            changes
        }))
    }

    /// Reads the file, and creates the servers that are new or changed. Only one reload runs at a
    /// time, so the current servers are the same when they are replaced.
    fn read_again(&self) -> anyhow::Result<(BTreeMap<ServerName, Arc<Server>>, Changes)> {
        let current = self.0.table.load_full();
        let mut changes = Changes::default();
        let mut named = BTreeMap::new();
        let servers = self.0.config.read_servers()?.unwrap_or_default();
        open_files::check_reloaded(&self.0.config, &servers);
        for server in servers {
            let name = server.name.clone();
            let old = current.named.get(&name);
            let created = match old {
                Some(old) if old.config == server.config => {
                    changes.unchanged += 1;
                    Arc::clone(old)
                }
                _ => {
                    let count =
                        if old.is_some() { &mut changes.changed } else { &mut changes.added };
                    *count += 1;
                    create(server, &self.0.config, &self.0.common)?
                }
            };
            named.insert(name, created);
        }
        Ok((named, changes))
    }
}

/// Creates a server of the file.
///
/// # Errors
///
/// Its command does not exist. The error names the file and the server.
pub(super) fn create(
    server: NamedServer,
    program: &ProgramConfig,
    common: &Common,
) -> anyhow::Result<Arc<Server>> {
    let NamedServer { name, config } = server;
    let file = program.servers.as_deref().unwrap_or_default();
    let context = format!("{file}: server `{name}`");
    Server::create(Some(name), config, common).context(context)
}
