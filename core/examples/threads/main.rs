//! Drives sessions from plain threads: no async runtime, no polling.
//!
//! Every session has a backend thread, which counts and reports its progress, and a
//! client thread, which drops its connections and resumes after the last event id that
//! it saw. One timer thread ticks all sessions. The program fails if a client misses an
//! event, or gets one twice or out of order.
//!
//! `driver.rs` shows what a driver needs in any runtime: a lock around a session,
//! a bounded channel for each connection, and one arm for each action.

mod backend;
mod client;
mod connection;
mod driver;
mod payload;
mod timer;

use std::{
    error::Error,
    fmt,
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use rejoin_core::{CloseReason, Config, EVENT_OVERHEAD_BYTES};

use crate::{
    client::{Behavior, Client, Counts},
    driver::Driver,
    timer::Timer,
};

/// An error with a message.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Events per request, including the response.
const REQUEST_EVENTS: usize = 100;

/// The number that backends count to.
const COUNT_TO: u64 = REQUEST_EVENTS as u64 - 1;

/// Maximum cost of such an event in the log of a session.
const EVENT_BYTES_MAX: usize = EVENT_OVERHEAD_BYTES + 128;

const QUICK: Behavior = Behavior { requests: 20, reads: None, pause: None, deletes: true };

const CLIENTS: [Behavior; 5] = [
    QUICK,
    Behavior { reads: Some(7), ..QUICK },
    Behavior { reads: Some(1), ..QUICK },
    // Too slow for its backend, which is held.
    Behavior { requests: 3, reads: Some(40), pause: Some(Duration::from_millis(1)), ..QUICK },
    // Leaves without deleting its session, which the timer has to close.
    Behavior { requests: 0, deletes: false, ..QUICK },
];

#[expect(clippy::print_stdout, reason = "the output of the program")]
fn main() -> Result<(), BoxError> {
    println!("{}", run()?);
    Ok(())
}

/// Runs all sessions to their end.
fn run() -> Result<Summary, BoxError> {
    let timer = Arc::new(Timer::start());
    let mut sessions = Vec::new();
    for behavior in CLIENTS {
        let config = config(behavior).validate()?;
        let (driver, commands) = Driver::start(config, Arc::clone(&timer));
        sessions.push((driver, commands, behavior));
    }
    let (counts, holds) = thread::scope(|scope| {
        let mut clients = Vec::new();
        let mut backends = Vec::new();
        for (driver, commands, behavior) in &sessions {
            backends.push(scope.spawn(move || backend::run(driver, commands)));
            let client = Client::new(Arc::clone(driver), *behavior);
            clients.push(scope.spawn(move || client.run(COUNT_TO)));
        }
        let ticking = scope.spawn(|| {
            timer
                .run(|| sessions.iter().for_each(|(driver, ..)| driver.tick().unwrap_or_default()));
            Ok(())
        });
        // A backend ends with its session, and a session with its client or by a timer.
        let counts: Vec<_> = clients.into_iter().map(join).collect();
        let holds: Vec<_> = backends.into_iter().map(join).collect();
        timer.stop();
        join(ticking)?;
        Ok::<_, BoxError>((counts, holds))
    })?;
    let mut summary = Summary { sessions: sessions.len(), ..Summary::default() };
    for counts in counts {
        summary.add(&counts?);
    }
    for holds in holds {
        summary.holds += holds?;
    }
    for (driver, _, behavior) in &sessions {
        check_outcome(driver, *behavior)?;
    }
    Ok(summary)
}

fn config(behavior: Behavior) -> Config {
    Config {
        window_events_max: 8,
        // All events of a request, so that none is evicted. A backend is held at half of them.
        stream_events_max: REQUEST_EVENTS,
        session_bytes_max: REQUEST_EVENTS * EVENT_BYTES_MAX,
        // No client is that slow, but a busy machine may be.
        stall_timeout_max: Some(Duration::from_secs(30)),
        idle_timeout: Some(Duration::from_millis(if behavior.deletes { 300_000 } else { 200 })),
        ..Config::default()
    }
}

/// Checks that a session closed as expected, without a report.
fn check_outcome(driver: &Driver, behavior: Behavior) -> Result<(), BoxError> {
    let expected = if behavior.deletes { CloseReason::Deleted } else { CloseReason::Idle };
    match driver.outcome() {
        (Some(reason), reports) if reason == expected && reports.is_empty() => Ok(()),
        outcome => Err(format!("expected {expected:?} without reports, got {outcome:?}").into()),
    }
}

/// Waits for a thread to finish.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T, BoxError>>) -> Result<T, BoxError> {
    thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
}

/// Totals of all sessions.
#[derive(Default)]
struct Summary {
    sessions: usize,
    clients: Counts,
    holds: u64,
}

impl Summary {
    fn add(&mut self, counts: &Counts) {
        self.clients.requests += counts.requests;
        self.clients.drops += counts.drops;
        self.clients.resumes += counts.resumes;
        self.clients.events += counts.events;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, clients, holds } = self;
        let Counts { requests, drops, resumes, events } = clients;
        writeln!(f, "{sessions} sessions, {requests} requests")?;
        writeln!(f, "{drops} connections dropped, {resumes} streams resumed")?;
        writeln!(f, "{events} events, each seen once and in order")?;
        write!(f, "{holds} times a backend was held by a slow reader")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_client_gets_every_event_once() {
        let summary = super::run().unwrap();
        assert!(summary.clients.resumes > 0, "{summary}");
        assert!(summary.holds > 0, "{summary}");
    }
}
