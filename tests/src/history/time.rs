//! Passage of time.

use std::time::Duration;

use rejoin_core::Instant;

use super::Environment;

impl Environment {
    /// Returns the time of the next input.
    ///
    /// Where the next deadline would close the session, time mostly stands still, so that
    /// most sessions live long.
    pub(super) fn next_time(&self, wait: u8, chance: u8) -> Instant {
        let ahead = self.deadline.unwrap_or(self.now).since(self.now);
        let nanosecond = Duration::from_nanos(1);
        let step = match wait {
            0..=139 => Duration::ZERO,
            140..=169 => Duration::from_nanos(u64::from(chance)),
            170..=189 => Duration::from_micros(17 * u64::from(chance)),
            190..=205 => ahead / 7,
            206..=217 => ahead.saturating_sub(nanosecond),
            218..=241 => ahead,
            242..=245 => ahead.saturating_add(nanosecond),
            246..=247 => ahead.saturating_mul(2).min(Duration::from_secs(7_200)),
            248 => Duration::from_secs(30 * u64::from(chance)),
            249..=250 => Duration::from_millis(40 * u64::from(chance)),
            251..=255 => return self.step_back(wait, chance),
        };
        if self.is_near_close() && step >= ahead && chance > 15 {
            return self.now;
        }
        self.now.saturating_add(step)
    }

    fn step_back(&self, wait: u8, chance: u8) -> Instant {
        let step = Duration::from_millis(u64::from(chance) * u64::from(wait - 250));
        Instant::new(self.now.since_epoch().saturating_sub(step))
    }
}
