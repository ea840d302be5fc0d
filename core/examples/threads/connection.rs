//! A connection, as the server that writes its HTTP body sees it.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Select, TryRecvError};
use rejoin_core::ConnectionId;

use crate::{
    Fault,
    driver::{Driver, SseEvent},
};

/// How long an event may take. Only a lost one takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The body of one HTTP response. To drop it is to disconnect.
pub(crate) struct Connection {
    id: ConnectionId,
    driver: Arc<Driver>,
    events: Receiver<SseEvent>,
    /// The index of the last event that was pulled.
    through: Option<u64>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, driver: Arc<Driver>, events: Receiver<SseEvent>) -> Self {
        Self { id, driver, events, through: None }
    }

    /// Pulls the next event, and tells the session; `None` at the end of the body.
    pub(crate) fn pull(&mut self) -> Result<Option<SseEvent>, Fault> {
        loop {
            let mut select = Select::new();
            select.recv(&self.events);
            if select.ready_timeout(PATIENCE).is_err() {
                return Err("nothing more came, and no end".into());
            }
            match self.driver.pull(self.id, &self.events)? {
                Ok(event) => {
                    self.through = Some(event.index);
                    return Ok(Some(event));
                }
                Err(TryRecvError::Disconnected) => return Ok(None),
                // It was discarded before it could be pulled.
                Err(TryRecvError::Empty) => {}
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Never rejected: a session takes this even when it is closed.
        let _ = self.driver.closed(self.id, self.through);
    }
}
