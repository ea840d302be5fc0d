//! Steady readers: whoever never pauses in reading misses nothing, told or not.

use rejoin_tests::world::Tally;

use super::history::History;
use crate::knobs::Knobs;
use crate::server::unwritten_max;
use crate::visit::{Record, Seen};

/// Checks that a client had everything on one connection, without a gap.
///
/// This holds where the following is so, as in any world with a flood:
///
/// - Nothing breaks the connections of the client, and it reads from each of them all the time, at
///   20,000 bytes a second or more (as many times more as the default stall timeouts are
///   longer than those of the session).
/// - The server sets `TCP_NOTSENT_LOWAT`, and however long it cannot write while the buffers of
///   the systems drain, that is no longer than `stall_timeout_max`. It may be much longer
///   than `stall_timeout_min`, and than the client ever pauses.
/// - Backends wait when they are held up, and `hold_timeout` does not end that.
/// - The session has room for all of its streams at their limits.
pub(super) fn check(
    knobs: &Knobs,
    history: &History,
    record: &Record,
    tally: &mut Tally,
) -> Result<(), String> {
    let (Some(line), Some(flood)) = (knobs.line, knobs.flood) else { return Ok(()) };
    let config = &knobs.world.config;
    let pause_max = line.pause_max(unwritten_max(2 * flood.bytes));
    if config.stall_timeout_max.is_some_and(|max| max < pause_max) {
        tally.add("steady readers: paused for too long");
        return Ok(());
    }
    for reading in &record.readings {
        let gap = reading.seen.iter().find(|seen| matches!(seen, Seen::Gap(_)));
        let begun = reading.seen.iter().filter(|seen| matches!(seen, Seen::Began { .. })).count();
        if gap.is_some() || begun > 1 {
            return Err(format!(
                "a steady reader of {:?} had {begun} connections, {gap:?}",
                reading.kind
            ));
        }
    }
    let History { gaps, stalled, pause_max, .. } = history;
    if *gaps > 0 || *stalled > 0 {
        return Err(format!("a steady reader has {gaps} gaps, and {stalled} connections cut"));
    }
    tally.add("steady readers");
    if *pause_max > config.stall_timeout_min {
        tally.add("steady readers: with pauses longer than the shortest stall timeout");
    }
    Ok(())
}
