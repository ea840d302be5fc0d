//! A resource that changes while the client is subscribed to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rmcp::{Peer, RoleServer, model::ResourceUpdatedNotificationParam};
use tokio::task::AbortHandle;

use super::{background::Background, tool::ToolError};

pub(super) const WATCHED: &str = "test://watched-resource";

const INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of changes per subscription: one hour, so that a disconnected client does not
/// keep its session alive forever.
const CHANGES_MAX: u32 = 3_600;

/// The number of changes, and the task that notifies the client of them.
#[derive(Default)]
pub(super) struct Watch {
    changes: Arc<AtomicU32>,
    subscription: Mutex<Option<AbortHandle>>,
}

impl Watch {
    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Starts to change the resource and to notify the client. Replaces a former subscription.
    pub(super) fn subscribe(
        &self,
        background: &Background,
        peer: Peer<RoleServer>,
    ) -> Result<(), ToolError> {
        self.unsubscribe();
        let subscription = background.start(change(Arc::clone(&self.changes), peer))?;
        *self.subscription.lock() = Some(subscription);
        Ok(())
    }

    pub(super) fn unsubscribe(&self) {
        if let Some(subscription) = self.subscription.lock().take() {
            subscription.abort();
        }
    }
}

async fn change(changes: Arc<AtomicU32>, peer: Peer<RoleServer>) {
    for _ in 0..CHANGES_MAX {
        tokio::time::sleep(INTERVAL).await;
        changes.fetch_add(1, Ordering::Relaxed);
        let update = ResourceUpdatedNotificationParam::new(WATCHED);
        if peer.notify_resource_updated(update).await.is_err() {
            return;
        }
    }
}
