//! The client: asks, reads, drops its connection, comes back, and checks what it gets.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::after;
use rejoin_core::{Event, EventId};

use crate::{Fault, connection::Connection, driver::Driver, payload::Payload};

/// How a client behaves.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    /// How many counts it asks for, one after the other.
    pub(crate) requests: i64,
    /// How many events it reads before it drops its connection.
    pub(crate) reads: Option<u64>,
    /// How long it takes to read an event.
    pub(crate) pause: Option<Duration>,
    /// Whether it deletes its session at the end, or just never comes again.
    pub(crate) deletes: bool,
}

/// What a client did and saw.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) drops: u64,
    pub(crate) resumes: u64,
    pub(crate) events: u64,
}

/// A client with a session of its own.
pub(crate) struct Client {
    driver: Arc<Driver>,
    habits: Habits,
    tally: Tally,
}

impl Client {
    pub(crate) fn new(driver: Arc<Driver>, habits: Habits) -> Self {
        Self { driver, habits, tally: Tally::default() }
    }

    /// Does all that it came for.
    ///
    /// # Errors
    ///
    /// Something was lost, doubled, out of order, or for somebody else.
    pub(crate) fn run(mut self, to: u64) -> Result<Tally, Fault> {
        self.initialize()?;
        for id in 1..=self.habits.requests {
            self.count(id, to)?;
        }
        Ok(std::mem::take(&mut self.tally))
    }

    fn initialize(&mut self) -> Result<(), Fault> {
        let mut connection = self.driver.post(Payload::Initialize { id: 0 })?;
        self.expect(&mut connection, &Payload::Initialized { id: 0 })?;
        expect_end(&mut connection)
    }

    /// Asks for a count, and reads the whole answer, on as many connections as it takes.
    fn count(&mut self, id: i64, to: u64) -> Result<(), Fault> {
        self.tally.requests += 1;
        let mut connection = self.driver.post(Payload::Count { id, to })?;
        let mut last_event_id = None;
        for done in 1..=to {
            let event_id = self.expect(&mut connection, &Payload::Progress { token: id, done })?;
            last_event_id = event_id.or(last_event_id);
            let is_enough = self.habits.reads.is_some_and(|reads| done.is_multiple_of(reads));
            if let Some(last_event_id) = last_event_id.filter(|_| is_enough) {
                connection = self.rejoin(connection, last_event_id)?;
            }
        }
        self.expect(&mut connection, &Payload::Counted { id, to })?;
        expect_end(&mut connection)
    }

    /// Drops a connection, and comes back for the rest on another one.
    fn rejoin(
        &mut self,
        mut connection: Connection,
        last_event_id: EventId,
    ) -> Result<Connection, Fault> {
        self.tally.drops += 1;
        self.tally.resumes += 1;
        match self.tally.drops % 3 {
            // The server sees the connection close.
            0 => drop(connection),
            // It does, but has written an event that never arrives.
            1 => {
                connection.pull()?;
                drop(connection);
            }
            // It does not: what tells it is that the client is back.
            _ => {
                let next = self.driver.get(last_event_id)?;
                drop(connection);
                return Ok(next);
            }
        }
        Ok(self.driver.get(last_event_id)?)
    }

    /// Reads the next message, which must be the expected one. Returns its event id.
    fn expect(
        &mut self,
        connection: &mut Connection,
        expected: &Payload,
    ) -> Result<Option<EventId>, Fault> {
        loop {
            if let Some(pause) = self.habits.pause {
                // This is what a slow network looks like.
                after(pause).recv()?;
            }
            let Some(event) = connection.pull()? else {
                return Err(format!("the end came before {expected:?}").into());
            };
            if let Some(gap) = event.gap {
                return Err(format!("events {gap:?} are missing before {expected:?}").into());
            }
            match event.event {
                Event::Message(payload) if *payload == *expected => {
                    self.tally.events += 1;
                    return Ok(event.id);
                }
                Event::Message(payload) => {
                    return Err(format!("{payload:?} came instead of {expected:?}").into());
                }
                Event::Failure(failure) => {
                    return Err(format!("{failure:?} came instead of {expected:?}").into());
                }
                Event::Priming { retry: _ } => {}
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.habits.deletes {
            // It is rejected if the session is closed already, which will do.
            let _ = self.driver.delete();
        }
    }
}

/// Checks that nothing comes after a response.
fn expect_end(connection: &mut Connection) -> Result<(), Fault> {
    match connection.pull()? {
        None => Ok(()),
        Some(event) => Err(format!("{:?} came after the response", event.event).into()),
    }
}
