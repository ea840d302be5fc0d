//! The checker of all laws.

use std::fmt;

use rejoin_core::{Config, Instant};

use super::commits::Commits;
use super::law4_in_order::StreamEvents;
use super::law4_without_gap::ResponseIndexes;
use super::law5_one_stream::Locations;
use super::law6_drained::Drained;
use super::law6_no_request_lost::Requests;
use super::law7_cancelled::Cancelled;
use super::law7_limit::Limit;
use super::law7_room::Waiting;
use super::readers::Readers;
use super::server_requests::ServerRequests;
use super::silence::Silence;
use super::{
    Step, View, law1_nothing_queued, law2_deadline, law3_rejection, law4_in_order,
    law4_without_gap, law5_one_stream, law6_drained, law6_no_request_lost, law6_reports,
    law7_bounded, law7_cancelled, law7_limit, law7_room, law8_end, law9_deterministic,
    law10_committed,
};

/// Checks every step of one session, from its beginning, against the laws.
#[derive(Clone, Debug)]
pub struct Checker {
    /// The configuration; `session_bytes_max` is the limit in force.
    config: Config,
    limit: Limit,
    last: Instant,
    before: View,
    readers: Readers,
    commits: Commits,
    streams: StreamEvents,
    silence: Silence,
    responses: ResponseIndexes,
    locations: Locations,
    requests: Requests,
    drained: Drained,
    server_requests: ServerRequests,
    waiting: Waiting,
    cancelled: Cancelled,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the law.
    pub law: u8,
    /// What broke it.
    pub details: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.law {
            1 => "nothing stays queued",
            2 => "the deadline is in the future, and a tick at it makes progress",
            3 => "a rejection changes nothing",
            4 => "exactly once, in order",
            5 => "every message is on one stream only",
            6 => "no request is lost",
            7 => "memory is bounded",
            8 => "no action after the close",
            9 => "same inputs, same actions",
            _ => "committed before it is sent",
        };
        write!(f, "law {} ({name}): {}", self.law, self.details)
    }
}

impl Checker {
    /// Creates a checker for a session that was created at `now` and has this view.
    #[must_use]
    pub fn new(config: Config, now: Instant, view: View) -> Self {
        Self {
            limit: Limit::new(config.session_bytes_max),
            config,
            last: now,
            readers: Readers::of_new(&view),
            silence: Silence::of_new(&view),
            streams: StreamEvents::of_new(&view),
            before: view,
            commits: Commits::default(),
            responses: ResponseIndexes::default(),
            locations: Locations::default(),
            requests: Requests::default(),
            drained: Drained::default(),
            server_requests: ServerRequests::default(),
            waiting: Waiting::default(),
            cancelled: Cancelled::default(),
        }
    }

    /// Checks a step, and that of its twin: a session with the same history, except that it
    /// handles a tick wherever this one rejects an input.
    ///
    /// # Errors
    ///
    /// The first law that the step breaks. Later steps cannot be checked then.
    pub fn check(&mut self, step: &Step, twin: &Step) -> Result<(), Violation> {
        self.last = self.last.max(step.now);
        let now = self.last;
        self.config.session_bytes_max = self.limit.update(now, &self.before, step);
        let Self { config, before, limit, .. } = self;
        let sent = self.readers.follow(before, step);
        let recorded = self.commits.follow(config, before, step);
        let mut results = vec![
            (10, recorded),
            (8, law8_end::check(before, step)),
            (9, law9_deterministic::check(step, twin)),
            (3, law3_rejection::check(now, before, step, twin)),
            (2, law2_deadline::check(now, before, step)),
            (1, law1_nothing_queued::check(config, step, &self.readers, &self.commits)),
            (4, law4_in_order::check(&mut self.streams, step, &sent)),
            (
                4,
                law4_without_gap::check(
                    &mut self.responses,
                    config,
                    now,
                    before,
                    step,
                    &self.silence,
                ),
            ),
            (4, law4_without_gap::check_in_flight(before, step, &self.readers)),
            (5, law5_one_stream::check(&mut self.locations, step, &sent)),
            (6, law6_no_request_lost::check(&mut self.requests, config, (before, step), &sent)),
            (6, law6_reports::check(config, now, before, step)),
            (6, law6_drained::check(&mut self.drained, now, before, step)),
            (6, self.server_requests.follow(step)),
            (7, law7_bounded::check(&self.server_requests, config, step, &self.readers)),
            (7, law7_bounded::check_kept(limit.kept_max(), step, &self.readers)),
            (7, law7_limit::check_kept(limit, now, before, step)),
            (7, law7_bounded::check_logs(config, now, before, step, &self.silence)),
            (
                7,
                law7_room::check_cut(
                    (&self.waiting, limit),
                    config,
                    now,
                    (before, step),
                    &self.silence,
                ),
            ),
            (7, law7_cancelled::check(&mut self.cancelled, config, now, before, step)),
            (10, law10_committed::check(&self.commits, config, before, step, &sent)),
        ];
        self.silence.follow(now, before, step);
        let room = law7_room::check(
            &mut self.waiting,
            config,
            now,
            (before, step),
            &self.readers,
            &self.silence,
        );
        results.push((7, room));
        let shrunk = law7_limit::check(limit, config, now, step, &self.readers, &self.silence);
        results.push((7, shrunk));
        self.limit.follow(step, &self.readers);
        self.before.clone_from(&step.after);
        for (law, result) in results {
            result.map_err(|details| Violation { law, details })?;
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
        assert!(violation.to_string().starts_with("law 2 (the deadline is in the future"));
    }
}
