//! Steady readers: a client that never stops reading misses nothing, and sees no gap.

use rejoin_tests::kit::Coverage;

use super::history::History;
use crate::client_session::{Observation, Record};
use crate::parameters::Parameters;
use crate::server::unwritten_max;

/// Checks that a client received everything on one connection, without a gap.
///
/// The conditions, which every simulation with a flood meets:
///
/// - Nothing breaks the client's connections, and it reads from each of them all the time, at
///   20,000 bytes per second or more (times the ratio of the default stall timeouts to those of
///   the session).
/// - The server sets `TCP_NOTSENT_LOWAT`, and while the socket buffers drain it cannot write
///   for at most `stall_timeout_max`. That may be far longer than `stall_timeout_min`, and than
///   the client ever pauses.
/// - Backends wait while they are held, and `hold_timeout` does not end that.
/// - The session can hold all of its streams at their limits.
pub(super) fn check(
    parameters: &Parameters,
    history: &History,
    record: &Record,
    coverage: &mut Coverage,
) -> Result<(), String> {
    let (Some(tcp), Some(flood)) = (parameters.tcp, parameters.flood) else { return Ok(()) };
    let config = &parameters.base.config;
    let pause_max = tcp.pause_max(unwritten_max(2 * flood.bytes));
    if config.stall_timeout_max.is_some_and(|max| max < pause_max) {
        coverage.hit("steady readers: pause above the maximum stall timeout");
        return Ok(());
    }
    for reader in &record.readers {
        let gap = reader
            .observations
            .iter()
            .find(|observation| matches!(observation, Observation::Gap(_)));
        let begun = reader
            .observations
            .iter()
            .filter(|observation| matches!(observation, Observation::Connected { .. }))
            .count();
        if gap.is_some() || begun > 1 {
            return Err(format!(
                "a steady reader of {:?} had {begun} connections, {gap:?}",
                reader.kind
            ));
        }
    }
    let History { gaps, stalled, pause_max, .. } = history;
    if *gaps > 0 || *stalled > 0 {
        return Err(format!("a steady reader has {gaps} gaps, and {stalled} connections cut"));
    }
    coverage.hit("steady readers");
    if *pause_max > config.stall_timeout_min {
        coverage.hit("steady readers: pauses above the minimum stall timeout");
    }
    Ok(())
}
