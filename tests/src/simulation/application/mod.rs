//! An application whose messages go through the client machine of [`rejoin_core::client`], to the
//! same servers as in the other simulations.
//!
//! The application sends requests, notifications and responses, and cancels. The driver of the
//! machine sends its HTTP requests over `link`s that break: before the request arrives, before the
//! head of the response, or later. Sessions end because they are idle, drain, and servers restart
//! and lose them; some replay more events than they should, and let clients poll. Servers cannot be
//! reached for a while, are not trusted, want other credentials, and refuse requests with various
//! statuses. Sessions are checked against the laws, and each stream as delivered to the application
//! by [`StreamChecker`]. Besides:
//!
//! - The application gets exactly the messages of an event that it should get.
//! - Each message that belongs to a session is sent in that one: responses, cancellations, the
//!   errors that the machine sends by itself, and `notifications/initialized`. In a session that
//!   the machine begins, no message of the application comes before that. Each request of a lost
//!   session is cancelled.
//! - The machine keeps its limits of exchanges, DELETEs and pending requests, and no request waits
//!   for longer than `send_timeout` without being sent.
//! - Each request has one outcome: a response, a failure, or its cancellation.
//! - No message reaches the backends twice, and none whose failure says that it was not executed.
//! - Without faults, every request gets a response.
//! - A session is deleted at most once, and not after its server has said that it does not know it.
//!   No POST or GET follows in it. At the end, each session is deleted or unknown.
//!
//! [`StreamChecker`]: crate::kit::checker::StreamChecker

mod behavior;
mod delivery;
mod faults;
mod link;
mod machine;
mod posts;
mod server;
mod sessions;
mod unsent;
mod world;

use std::time::Duration;

use rejoin_core::{Instant, client::Input};

use self::world::{Phase, World};
use crate::kit::Coverage;

/// Counters that many simulations must hit.
pub const EXPECTED: [&str; 51] = [
    "requests",
    "requests: without faults",
    "deliveries: compared",
    "deliveries: none is expected",
    "delayed",
    "dropped: server request",
    "posted: response",
    "posted: cancellation",
    "posted: initialized",
    "posted: busy",
    "posted: dropped",
    "responses to cancelled server requests",
    "notified: session lost",
    "notified: cancelled",
    "disconnected to poll",
    "events: too large",
    "outages",
    "failed: unreachable",
    "failed: no connection",
    "failed: no session",
    "failed: refused",
    "failed: not resumed",
    "failed: unanswered",
    "failed: too many messages",
    "failed: response too large",
    "refused: credentials",
    "refused: draining",
    "refused: with Retry-After",
    "refused: by a proxy",
    "sessions: drained",
    "sessions: begun after a delay",
    "sessions: given up",
    "cut: before the request arrives",
    "cut: before the head arrives",
    "cut: within the events",
    "cut: half open at the server",
    "delivered: response",
    "delivered: notification",
    "delivered: server request",
    "duplicate: dropped",
    "failed: connection lost",
    "failed: session lost",
    "cancelled",
    "resumes",
    "resumes: more was replayed",
    "refused: 404",
    "refused: 429",
    "sessions: crashed",
    "sessions: closed",
    "sessions: renewed",
    "finished",
];

/// How long the phase with faults takes.
const FAULTS_TIME: Duration = Duration::from_secs(600);
/// How long all requests may take to settle without faults.
const SETTLE_TIME: Duration = Duration::from_secs(3_600);

/// Runs a simulation of a seed.
///
/// # Errors
///
/// What was violated, with the last events.
pub fn run(seed: u64) -> Result<Coverage, String> {
    let mut world = World::new(seed)?;
    match run_phases(&mut world) {
        Ok(()) => Ok(world.coverage),
        Err(error) => Err(format!("seed {seed}: {error}\n{}", world.trace())),
    }
}

fn run_phases(world: &mut World) -> Result<(), String> {
    world.start();
    let end = Instant::EPOCH.saturating_add(FAULTS_TIME);
    world.run_until(end, |_| false)?;
    world.end_faults()?;
    let end = world.now.saturating_add(SETTLE_TIME);
    world.run_until(end, World::is_settled)?;
    if !world.is_settled() {
        return Err(format!("these requests have not settled: {:?}", world.unsettled()));
    }
    world.phase = Phase::Closing;
    world.feed(Input::Close)?;
    let end = world.now.saturating_add(Duration::from_secs(10));
    world.run_until(end, |world| world.is_finished)?;
    if !world.is_finished {
        return Err("the machine has not finished".to_owned());
    }
    world.coverage.hit("finished");
    world.check_end()
}
