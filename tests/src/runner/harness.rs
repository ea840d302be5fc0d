//! The harness of a history: a session, its twin, its model and its environment.

use std::collections::VecDeque;
use std::time::Duration;

use rejoin_core::{ConfigError, Input, Instant, Session, ValidConfig};

use super::Failure;
use super::fold::Recording;
use super::outcome::Outcome;
use crate::history::{Environment, Op, Setup};
use crate::laws::{Checker, ObservedSession, Step};
use crate::model::Model;
use crate::stats::Stats;

/// Number of steps that a [`Failure`] shows.
const STEPS_SHOWN: usize = 30;

/// Times from here on are near [`Instant::MAX`], and are not moved to another epoch.
const NEAR_MAX: Instant = Instant::new(Duration::from_secs(1 << 33));

/// Runs one session after the other, until the history ends.
#[derive(Debug)]
pub(super) struct Harness<'a> {
    setup: &'a Setup,
    config: ValidConfig,
    /// How many sessions were run before.
    nth: usize,
    environment: Environment,
    session: ObservedSession,
    twin: ObservedSession,
    model: Model,
    checker: Checker,
    recording: Recording,
    steps: VecDeque<Step>,
    /// The input that has not become a step yet.
    current_input: Option<(Instant, Input<u64>)>,
    input_count: u64,
}

impl<'a> Harness<'a> {
    /// Creates the `nth` session of a history.
    pub(super) fn new(setup: &'a Setup, nth: usize, now: Instant) -> Result<Self, ConfigError> {
        Ok(Self::start(setup, setup.config.clone().validate()?, nth, now))
    }

    fn start(setup: &'a Setup, config: ValidConfig, nth: usize, now: Instant) -> Self {
        let origin = setup.origin(nth);
        let session = || match origin {
            Some(origin) => Session::replacing(config.clone(), now, origin),
            None => Session::new(config.clone(), now),
        };
        let session = || ObservedSession::new(session(), now);
        let (mut session, twin) = (session(), session());
        let model = match origin {
            Some(origin) => Model::replacing(setup.config.clone(), now, origin),
            None => Model::new(setup.config.clone(), now),
        };
        let checker = Checker::new(setup.config.clone(), now, session.view());
        Self {
            setup,
            nth,
            environment: Environment::new(setup, nth, now),
            model,
            checker,
            recording: Recording::default(),
            session,
            twin,
            steps: VecDeque::new(),
            current_input: None,
            input_count: 0,
            config,
        }
    }

    /// Creates the next session, if this one is finished.
    pub(super) fn restart_if_closed(&mut self) {
        if self.environment.is_finished() {
            let now = self.environment.now();
            *self = Self::start(self.setup, self.config.clone(), self.nth + 1, now);
        }
    }

    /// Returns how many sessions were created.
    pub(super) fn sessions(&self) -> u64 {
        u64::try_from(self.nth + 1).unwrap_or(u64::MAX)
    }

    /// Performs an op.
    pub(super) fn step(&mut self, op: Op, stats: &mut Stats) -> Result<(), String> {
        let (now, input) = self.environment.next_input(op);
        self.current_input = Some((now, input.clone()));
        let step = self.session.step(now, input.clone());
        let for_twin = if step.is_applied() { input } else { Input::Tick };
        let twin = self.twin.step(now, for_twin);
        self.check(step, Some(&twin), stats)
    }

    /// Drops all connections, and restores the twin from a snapshot: it must do what the
    /// session does from then on.
    pub(super) fn restore(&mut self, nth: usize, stats: &mut Stats) -> Result<(), String> {
        let now = self.environment.now();
        self.commit_all(now, stats)?;
        let restored_now = if now < NEAR_MAX { other_epoch(now, nth) } else { now };
        let (mut twin, actions) = self.twin.restore(&self.config, now, restored_now)?;
        let mut expected = Vec::new();
        for connection in self.model.connections() {
            let through = self.model.acknowledged(connection);
            let input = Input::ConnectionClosed { connection, through };
            self.current_input = Some((now, input.clone()));
            let step = self.session.step(now, input);
            expected.extend(step.actions.iter().cloned());
            self.check(step, None, stats)?;
        }
        let view = self.session.view();
        let restored = twin.view();
        self.twin = twin;
        if actions != expected {
            return Err(format!(
                "a restore differs from dropping all connections:\n  restored: {actions:?}\n  \
                 dropped:  {expected:?}"
            ));
        }
        if restored != view {
            return Err(format!(
                "a restored session differs from one whose connections were dropped:\n  \
                 restored: {restored:?}\n  dropped:  {view:?}"
            ));
        }
        Ok(())
    }

    /// Commits everything that the session and its twin have recorded.
    fn commit_all(&mut self, now: Instant, stats: &mut Stats) -> Result<(), String> {
        if self.setup.config.commits {
            let input = Input::Committed { through: self.environment.recorded() };
            self.current_input = Some((now, input.clone()));
            let step = self.session.step(now, input.clone());
            let twin = self.twin.step(now, input);
            self.check(step, Some(&twin), stats)?;
        }
        Ok(())
    }

    /// Returns the failure of the last step, with the number of ops until then.
    pub(super) fn failure(self, ops: usize, reason: String) -> Failure {
        let Self { setup, steps, current_input, .. } = self;
        Failure { config: setup.config.clone(), steps, pending_input: current_input, ops, reason }
    }

    /// Checks the laws on a step, and compares it with the model.
    fn check(&mut self, step: Step, twin: Option<&Step>, stats: &mut Stats) -> Result<(), String> {
        stats.count(&step);
        self.input_count += 1;
        stats.longest = stats.longest.max(self.input_count);
        self.environment.observe(&step);
        let outcome = Outcome::of_model(&mut self.model, step.now, step.input.clone());
        let compared = Outcome::of(&step).compare(outcome);
        self.model.take_cases().into_iter().for_each(|case| stats.count_case(case));
        let checked = self.checker.check(&step, twin.unwrap_or(&step));
        let recorded = self.recording.follow(&step, self.session.session());
        if self.steps.len() == STEPS_SHOWN {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
        self.current_input = None;
        checked.map_err(|violation| violation.to_string())?;
        compared?;
        recorded
    }
}

/// Returns `now` on another clock: the same, less or more.
fn other_epoch(now: Instant, nth: usize) -> Instant {
    let offset = Duration::from_secs(u64::try_from(nth).unwrap_or(0));
    match nth % 3 {
        0 => now,
        1 => Instant::new(offset),
        _ => now.saturating_add(offset),
    }
}
