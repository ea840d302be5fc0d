//! A connection, from the side of the server that writes its HTTP body.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Select, TryRecvError};
use rejoin_core::ConnectionId;

use crate::{
    BoxError,
    driver::{Driver, SseEvent},
};

/// Maximum wait for an event. Only a lost event takes that long.
const EVENT_TIMEOUT: Duration = Duration::from_secs(20);

/// The body of an HTTP response. Dropping it disconnects.
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

    /// Pulls and acknowledges the next event. Returns `None` at the end of the body.
    pub(crate) fn pull(&mut self) -> Result<Option<SseEvent>, BoxError> {
        loop {
            let mut select = Select::new();
            select.recv(&self.events);
            if select.ready_timeout(EVENT_TIMEOUT).is_err() {
                return Err("no event and no end of the body within the timeout".into());
            }
            match self.driver.pull(self.id, &self.events)? {
                Ok(event) => {
                    self.through = Some(event.index);
                    return Ok(Some(event));
                }
                Err(TryRecvError::Disconnected) => return Ok(None),
                // The event was discarded before it could be pulled.
                Err(TryRecvError::Empty) => {}
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Never rejected, not even when the session is closed.
        let _ = self.driver.on_closed(self.id, self.through);
    }
}
