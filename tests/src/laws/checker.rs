//! The observer: what all laws have to say of a step.

use std::fmt;

use rejoin_core::{Config, Instant};

use super::law1_nothing_queued::Lag;
use super::law4_in_order::StreamEvents;
use super::law4_without_gap::AllowedLosses;
use super::law5_one_stream::Locations;
use super::law6_no_request_lost::Requests;
use super::law7_bounded::ServerRequests;
use super::law7_cancelled::Cancelled;
use super::readers::Readers;
use super::silence::Silence;
use super::{
    Step, View, law1_nothing_queued, law2_deadline, law3_rejection, law4_in_order,
    law4_without_gap, law5_one_stream, law6_no_request_lost, law7_bounded, law7_cancelled,
    law8_end, law9_deterministic,
};

/// Watches one session from its beginning, and says which law a step breaks.
#[derive(Clone, Debug)]
pub struct Checker {
    config: Config,
    last: Instant,
    before: View,
    readers: Readers,
    told: Lag,
    streams: StreamEvents,
    silence: Silence,
    missable: AllowedLosses,
    places: Locations,
    requests: Requests,
    waiting: ServerRequests,
    cancelled: Cancelled,
}

/// Says which law was broken, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the law.
    pub law: u8,
    /// What was seen.
    pub details: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.law {
            1 => "nothing is left queued",
            2 => "the deadline lies ahead, and a tick at it makes progress",
            3 => "a rejection changes nothing",
            4 => "exactly once, in order",
            5 => "every message goes on one stream only",
            6 => "no request disappears",
            7 => "memory is bounded",
            8 => "nothing comes after the end",
            _ => "same inputs, same actions",
        };
        write!(f, "law {} ({name}): {}", self.law, self.details)
    }
}

impl Checker {
    /// Begins with a session that began at `now`, and says this of itself.
    #[must_use]
    pub fn new(config: Config, now: Instant, view: View) -> Self {
        Self {
            config,
            last: now,
            before: view,
            readers: Readers::default(),
            told: Lag::default(),
            streams: StreamEvents::default(),
            silence: Silence::default(),
            missable: AllowedLosses::default(),
            places: Locations::default(),
            requests: Requests::default(),
            waiting: ServerRequests::default(),
            cancelled: Cancelled::default(),
        }
    }

    /// Sees a step, and what its twin did: a session with the same history,
    /// but that was told to tick wherever this one rejected an input.
    ///
    /// # Errors
    ///
    /// The first law that the step breaks. What comes after that is not to be
    /// judged.
    pub fn check(&mut self, step: &Step, twin: &Step) -> Result<(), Violation> {
        let Self { config, before, .. } = self;
        self.last = self.last.max(step.now);
        let sent = self.readers.follow(before, step);
        let verdicts = [
            (8, law8_end::check(before, step)),
            (9, law9_deterministic::check(step, twin)),
            (3, law3_rejection::check(step, twin)),
            (2, law2_deadline::check(self.last, before, step)),
            (1, law1_nothing_queued::check(&mut self.told, config, step, &self.readers)),
            (4, law4_in_order::check(&mut self.streams, step, &sent)),
            (
                4,
                law4_without_gap::check(
                    &mut self.missable,
                    config,
                    self.last,
                    before,
                    step,
                    &self.silence,
                ),
            ),
            (5, law5_one_stream::check(&mut self.places, step, &sent)),
            (6, law6_no_request_lost::check(&mut self.requests, step, &sent)),
            (7, law7_bounded::check(&mut self.waiting, config, step, &self.readers, &sent)),
            (7, law7_bounded::check_logs(config, self.last, before, step, &self.silence)),
            (7, law7_cancelled::check(&mut self.cancelled, config, self.last, before, step)),
        ];
        self.silence.follow(self.last, before, step);
        self.before.clone_from(&step.after);
        for (law, verdict) in verdicts {
            verdict.map_err(|seen| Violation { law, details: seen })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::Input;

    use super::super::fixtures::step;
    use super::*;

    #[test]
    fn a_violation_names_its_law() {
        let observe = |step: &Step| {
            Checker::new(Config::default(), Instant::EPOCH, View::default()).check(step, step)
        };
        let lawful = step(Input::Tick);
        assert_eq!(observe(&lawful), Ok(()));
        let mut overdue = lawful;
        overdue.after.deadline = Some(Instant::EPOCH);
        let violation = observe(&overdue).unwrap_err();
        assert_eq!(violation.law, 2);
        assert!(violation.to_string().starts_with("law 2 (the deadline lies ahead"));
    }
}
