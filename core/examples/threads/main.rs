//! Drives sessions from plain threads: no async runtime, no polling.
//!
//! Every session has a backend thread, which counts and says how far it has
//! got, and a client thread, which drops its connections and comes back with the
//! last event id that it saw. One timer thread ticks all sessions. The program
//! fails if a client misses an event, or gets one twice or out of order.
//!
//! `driver.rs` is what a driver needs in any runtime: a lock around a session,
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
    client::{Client, Habits, Tally},
    driver::Driver,
    timer::Timer,
};

/// What went wrong, in words.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// How many events an answer has, the response included.
const ANSWER_EVENTS: usize = 100;

/// How far the backends count.
const COUNT_TO: u64 = ANSWER_EVENTS as u64 - 1;

/// What the log of a session charges for one of them at most.
const EVENT_BYTES_MAX: usize = EVENT_OVERHEAD_BYTES + 128;

const QUICK: Habits = Habits { requests: 20, reads: None, pause: None, deletes: true };

const CLIENTS: [Habits; 5] = [
    QUICK,
    Habits { reads: Some(7), ..QUICK },
    Habits { reads: Some(1), ..QUICK },
    // Too slow for its backend, which must wait for it.
    Habits { requests: 3, reads: Some(40), pause: Some(Duration::from_millis(1)), ..QUICK },
    // Never comes again: the timer has to close its session.
    Habits { requests: 0, deletes: false, ..QUICK },
];

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> Result<(), Fault> {
    println!("{}", run()?);
    Ok(())
}

/// Runs all sessions to their end.
fn run() -> Result<Summary, Fault> {
    let timer = Arc::new(Timer::start());
    let mut sessions = Vec::new();
    for habits in CLIENTS {
        let config = config(habits).validate()?;
        let (driver, orders) = Driver::begin(config, Arc::clone(&timer));
        sessions.push((driver, orders, habits));
    }
    let (tallies, holds) = thread::scope(|scope| {
        let mut clients = Vec::new();
        let mut backends = Vec::new();
        for (driver, orders, habits) in &sessions {
            backends.push(scope.spawn(move || backend::run(driver, orders)));
            let client = Client::new(Arc::clone(driver), *habits);
            clients.push(scope.spawn(move || client.run(COUNT_TO)));
        }
        let ticking = scope.spawn(|| {
            timer
                .run(|| sessions.iter().for_each(|(driver, ..)| driver.tick().unwrap_or_default()));
            Ok(())
        });
        // A backend ends with its session, and a session with its client or by its deadline.
        let tallies: Vec<_> = clients.into_iter().map(join).collect();
        let holds: Vec<_> = backends.into_iter().map(join).collect();
        timer.stop();
        join(ticking)?;
        Ok::<_, Fault>((tallies, holds))
    })?;
    let mut summary = Summary { sessions: sessions.len(), ..Summary::default() };
    for tally in tallies {
        summary.add(&tally?);
    }
    for holds in holds {
        summary.holds += holds?;
    }
    for (driver, _, habits) in &sessions {
        check_outcome(driver, *habits)?;
    }
    Ok(summary)
}

fn config(habits: Habits) -> Config {
    Config {
        window_events_max: 8,
        // A whole answer, so nothing is evicted. A backend waits at half of it.
        stream_events_max: ANSWER_EVENTS,
        session_bytes_max: ANSWER_EVENTS * EVENT_BYTES_MAX,
        // Nobody is that slow, but a busy machine may be.
        stall_timeout_max: Some(Duration::from_secs(30)),
        idle_timeout: Some(Duration::from_millis(if habits.deletes { 300_000 } else { 200 })),
        ..Config::default()
    }
}

/// Checks that a session ended as it should, and nothing was lost on the way.
fn check_outcome(driver: &Driver, habits: Habits) -> Result<(), Fault> {
    let expected = if habits.deletes { CloseReason::Deleted } else { CloseReason::Idle };
    match driver.outcome() {
        (Some(reason), reports) if reason == expected && reports.is_empty() => Ok(()),
        outcome => Err(format!("not {expected:?} and nothing lost, but {outcome:?}").into()),
    }
}

/// Waits for a thread.
fn join<T>(thread: ScopedJoinHandle<'_, Result<T, Fault>>) -> Result<T, Fault> {
    thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
}

/// What happened in all sessions together.
#[derive(Default)]
struct Summary {
    sessions: usize,
    clients: Tally,
    holds: u64,
}

impl Summary {
    fn add(&mut self, tally: &Tally) {
        self.clients.requests += tally.requests;
        self.clients.drops += tally.drops;
        self.clients.resumes += tally.resumes;
        self.clients.events += tally.events;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, clients, holds } = self;
        let Tally { requests, drops, resumes, events } = clients;
        writeln!(f, "{sessions} sessions, {requests} requests")?;
        writeln!(f, "{drops} connections dropped, {resumes} streams resumed")?;
        writeln!(f, "{events} events, each seen once and in order")?;
        write!(f, "{holds} times a backend waited for a slow reader")
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
