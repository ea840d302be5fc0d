//! Retirement of a server that was changed or removed: its sessions go on, but it gets no new ones.

use std::sync::Arc;

use tokio::time::{sleep, timeout};

use super::{Server, Servers, table::Table};
use crate::config::ServerName;

/// Maximum number of retiring servers with the same name. More often changed ones end earlier.
const RETIRING_MAX: usize = 4;

impl Servers {
    /// Begins to retire servers that are not current anymore. The earliest ends at once if there
    /// are too many.
    pub(super) fn retire(&self, table: &mut Table, servers: Vec<Arc<Server>>) {
        for server in servers {
            let mut same_name = table.retiring.iter().filter(|other| other.name == server.name);
            if same_name.clone().count() >= RETIRING_MAX
                && let Some(earliest) = same_name.find(|other| !other.is_superseded.is_cancelled())
            {
                earliest.is_superseded.cancel();
            }
            table.retiring.push(Arc::clone(&server));
            let servers = self.clone();
            self.0.retirements.spawn(async move { servers.run_retirement(server).await });
        }
    }

    async fn run_retirement(&self, server: Arc<Server>) {
        // The table is replaced when this lock is free: no further request finds the server.
        drop(self.0.replacing.lock());
        let shutdown = &self.0.shutdown;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = server.emptied() => {}
            () = server.is_superseded.cancelled() => {}
            () = sleep(self.0.config.retire_timeout) => {
                let server_name = server.name().map(ServerName::as_str);
                let sessions = server.sessions().sessions();
                tracing::warn!(server_name, sessions, "retire timeout: draining the remaining sessions");
            }
        }
        let drain = server.sessions().drain(server.config.http.reconnect_delay);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = timeout(self.0.config.drain_timeout, drain) => {}
        }
        server.sessions().close_all();
        // `None` means that the program shuts down, which closes and awaits all servers.
        let removed =
            self.replace(|table| table.retiring.retain(|other| !Arc::ptr_eq(other, &server)));
        if removed.is_some() {
            server.processes_ended().await;
            let server_name = server.name().map(ServerName::as_str);
            tracing::info!(server_name, "server retired: its sessions and processes have ended");
        }
    }
}
