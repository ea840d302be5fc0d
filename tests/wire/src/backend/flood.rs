//! Floods: a backend that sends more than all buffers hold, and waits while it is held.

use std::time::Duration;

use rejoin_tests::kit::BackendAction;
use tokio::time::sleep;

use super::scripted::{MessageSink, Script, Task};
use crate::parameters::Flood;

/// How long clients have to connect before a flood begins.
const CONNECT_TIME: Duration = Duration::from_secs(1);

impl<M: MessageSink> Script<M> {
    /// Sends the flood, and then the response.
    pub(super) async fn flood(self, task: Task, flood: Flood) {
        sleep(CONNECT_TIME).await;
        let related = task.id.clone().filter(|_| flood.is_related);
        for _ in 0..flood.messages {
            if !self.sink.write(self.notification(flood.bytes), related.clone()).await {
                return;
            }
        }
        self.perform(&task, BackendAction::Response).await;
    }
}
