//! The client: sends requests, drops connections, resumes, and checks the events that it gets.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::after;
use rejoin_core::{Event, EventId};

use crate::{BoxError, connection::Connection, driver::Driver, payload::Payload};

/// The behavior of a client.
#[derive(Clone, Copy)]
pub(crate) struct Behavior {
    /// How many counts it requests, one after the other.
    pub(crate) requests: i64,
    /// How many events it reads before it drops its connection.
    pub(crate) reads: Option<u64>,
    /// How long it waits before it reads an event.
    pub(crate) pause: Option<Duration>,
    /// Whether it deletes its session at the end, or just leaves.
    pub(crate) deletes: bool,
}

/// What a client did and received.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) drops: u64,
    pub(crate) resumes: u64,
    pub(crate) events: u64,
}

/// A client with a session of its own.
pub(crate) struct Client {
    driver: Arc<Driver>,
    behavior: Behavior,
    counts: Counts,
}

impl Client {
    pub(crate) fn new(driver: Arc<Driver>, behavior: Behavior) -> Self {
        Self { driver, behavior, counts: Counts::default() }
    }

    /// Initializes the session, and requests all counts.
    ///
    /// # Errors
    ///
    /// Returns an error if an event was lost, duplicated, out of order, or of another session.
    pub(crate) fn run(mut self, to: u64) -> Result<Counts, BoxError> {
        self.initialize()?;
        for id in 1..=self.behavior.requests {
            self.count(id, to)?;
        }
        Ok(std::mem::take(&mut self.counts))
    }

    fn initialize(&mut self) -> Result<(), BoxError> {
        let mut connection = self.driver.post(Payload::Initialize { id: 0 })?;
        self.expect(&mut connection, &Payload::Initialized { id: 0 })?;
        expect_end(&mut connection)
    }

    /// Requests a count, and reads all its events, on as many connections as needed.
    fn count(&mut self, id: i64, to: u64) -> Result<(), BoxError> {
        self.counts.requests += 1;
        let mut connection = self.driver.post(Payload::Count { id, to })?;
        let mut last_event_id = None;
        for done in 1..=to {
            let event_id = self.expect(&mut connection, &Payload::Progress { token: id, done })?;
            last_event_id = event_id.or(last_event_id);
            let is_enough = self.behavior.reads.is_some_and(|reads| done.is_multiple_of(reads));
            if let Some(last_event_id) = last_event_id.filter(|_| is_enough) {
                connection = self.rejoin(connection, last_event_id)?;
            }
        }
        self.expect(&mut connection, &Payload::Counted { id, to })?;
        expect_end(&mut connection)
    }

    /// Drops a connection, and resumes on another one.
    fn rejoin(
        &mut self,
        mut connection: Connection,
        last_event_id: EventId,
    ) -> Result<Connection, BoxError> {
        self.counts.drops += 1;
        self.counts.resumes += 1;
        match self.counts.drops % 3 {
            // The server sees the connection close.
            0 => drop(connection),
            // It does, but it has written an event that never arrives.
            1 => {
                connection.pull()?;
                drop(connection);
            }
            // It does not, until the client resumes.
            _ => {
                let next = self.driver.get(last_event_id)?;
                drop(connection);
                return Ok(next);
            }
        }
        Ok(self.driver.get(last_event_id)?)
    }

    /// Reads the next message, and checks that it is the expected one. Returns its event id.
    fn expect(
        &mut self,
        connection: &mut Connection,
        expected: &Payload,
    ) -> Result<Option<EventId>, BoxError> {
        loop {
            if let Some(pause) = self.behavior.pause {
                // Simulates a slow network.
                after(pause).recv()?;
            }
            let Some(event) = connection.pull()? else {
                return Err(format!("connection ended before {expected:?}").into());
            };
            if let Some(gap) = event.gap {
                return Err(format!("events {gap:?} are missing before {expected:?}").into());
            }
            match event.event {
                Event::Message(payload) if *payload == *expected => {
                    self.counts.events += 1;
                    return Ok(event.id);
                }
                Event::Message(payload) => {
                    return Err(format!("{payload:?} instead of {expected:?}").into());
                }
                Event::Failure(failure) => {
                    return Err(format!("{failure:?} instead of {expected:?}").into());
                }
                Event::Priming { retry: _ } => {}
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.behavior.deletes {
            // Rejected if the session is already closed, which does not matter.
            let _ = self.driver.delete();
        }
    }
}

/// Checks that no event follows a response.
fn expect_end(connection: &mut Connection) -> Result<(), BoxError> {
    match connection.pull()? {
        None => Ok(()),
        Some(event) => Err(format!("{:?} after the response", event.event).into()),
    }
}
