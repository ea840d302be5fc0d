//! The run of a world: faults first, then none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rejoin_core::Instant;
use serde_json::Value;

use super::agenda::{Happening, Next, ServerNo};
use super::faults::Fault;
use super::witness::check_baseline;
use super::{Failure, Faults, Knobs, Tally, World};

/// After so many happenings, a world will not come to rest.
const HAPPENINGS_MAX: u64 = 1_000_000;
/// For how long faults happen at most.
const FAULTS_MAX: Duration = Duration::from_secs(48 * 3_600);

/// Runs a world, and checks it after every step.
///
/// # Errors
///
/// What was wrong first: a law that was broken, a client that missed something
/// unexplained, a request that did not settle, or memory that was not let go of.
pub fn run(knobs: &Knobs) -> Result<Tally, Box<Failure>> {
    let config = match knobs.config.clone().validate() {
        Ok(config) => config,
        Err(error) => return Err(Box::new(Failure::early(knobs, error.to_string()))),
    };
    let mut world = World::new(knobs.clone(), config);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    match lived {
        Ok(()) => {
            world.tally.add("worlds");
            let longest = world.servers.iter().map(|server| server.inputs.len()).max();
            let longest = longest.and_then(|longest| u64::try_from(longest).ok());
            world.tally.stats.longest = longest.unwrap_or(0);
            world.tally.stats.sessions += u64::try_from(world.servers.len()).unwrap_or(0);
            Ok(world.tally)
        }
        Err(what) => Err(Box::new(Failure::of(knobs, &mut world, what))),
    }
}

impl World {
    fn live(&mut self) -> Result<(), String> {
        let end = Instant::EPOCH.saturating_add(FAULTS_MAX);
        self.run_while(end, |world| world.clients.values().any(|client| client.todo > 0))?;
        self.heal();
        let bound = self.knobs.settle_bound();
        self.run_while(self.now.saturating_add(bound), |world| !world.is_settled())?;
        if let Some(no) = self.servers.iter().position(|server| server.backend.is_held_up()) {
            self.suspect = Some(no);
            return Err("a sender is held up, though everybody reads".to_owned());
        }
        if !self.is_settled() {
            return Err(self.unsettled(bound));
        }
        self.part();
        let bound = self.knobs.baseline_bound();
        self.run_while(self.now.saturating_add(bound), |_| true)?;
        (0..self.servers.len()).try_for_each(|no| self.check_rest(no))?;
        let bound = self.knobs.end_bound();
        self.run_while(self.now.saturating_add(bound), |_| true)?;
        match self.servers.iter().position(|server| server.view.closed.is_none()) {
            Some(no) => {
                self.suspect = Some(no);
                Err(format!("session {no} is still open, though nobody is there"))
            }
            None => (0..self.servers.len()).try_for_each(|no| self.check_rest(no)),
        }
    }

    /// Lets things happen until a time, as long as they should.
    fn run_while(&mut self, end: Instant, should: impl Fn(&Self) -> bool) -> Result<(), String> {
        let mut count = 0;
        while should(self) {
            let Some(Next { at, happening, is_reordered }) = self.agenda.next(end) else {
                self.now = self.now.max(end);
                return Ok(());
            };
            if is_reordered {
                self.tally.struck(Fault::Reorder);
            }
            self.now = self.now.max(at);
            self.happen(at, happening)?;
            count += 1;
            if count > HAPPENINGS_MAX {
                return Err("the world does not come to rest".to_owned());
            }
        }
        Ok(())
    }

    fn happen(&mut self, at: Instant, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Act(client) => {
                self.act(client);
                Ok(())
            }
            Happening::Arrive(parcel) => self.arrive(*parcel),
            Happening::Pull(line) => self.pull(line),
            Happening::Read(line) => self.read(line),
            Happening::Noticed(line) => self.notice(line),
            Happening::Lost(line) => self.lose(line),
            Happening::Break(line) => self.break_line(line),
            Happening::Resume(reading) => self.come_back(reading),
            Happening::Patience(serial) => {
                self.lose_patience(serial);
                Ok(())
            }
            Happening::Say(server, task) => self.say(server, task),
            Happening::Withdraw(server, id) => self.withdraw(server, id),
            Happening::Tick(server) => self.tick(server, at),
            Happening::Crash(server) => self.crash(server),
        }
    }

    /// Lets nothing go wrong any more.
    fn heal(&mut self) {
        self.is_healed = true;
        self.faults = Faults::default();
        self.heal_lines();
        for reading in self.readings.keys().copied().collect::<Vec<_>>() {
            self.later(Duration::ZERO, Happening::Resume(reading));
        }
    }

    /// Lets all clients go, with their sessions as they are.
    fn part(&mut self) {
        for no in self.knobs.clients.clone() {
            if let Some(client) = self.clients.get_mut(&no) {
                client.is_done = true;
            }
            self.hang_up_all(no);
        }
    }

    fn is_settled(&self) -> bool {
        self.clients.values().all(|client| client.todo == 0 && client.flights.is_empty())
            && !self.servers.iter().any(|server| server.backend.is_held_up())
    }

    fn unsettled(&mut self, bound: Duration) -> String {
        let open = self.requests.values().filter(|request| request.outcome.is_none());
        let open: Vec<_> = open.collect();
        let mut idle = self.clients.values().filter(|client| client.todo > 0);
        let asked = open.first().map(|request| request.server);
        self.suspect = asked.or_else(|| idle.next()?.server);
        let todo: Vec<usize> = self.clients.values().map(|client| client.todo).collect();
        format!("after {bound:?} without faults, these have not settled: {open:?}, to do: {todo:?}")
    }

    fn check_rest(&mut self, no: ServerNo) -> Result<(), String> {
        self.suspect = Some(no);
        let Some(server) = self.servers.get(no) else {
            return Ok(());
        };
        let text = server.session.snapshot_json()?;
        let snapshot: Value = serde_json::from_str(&text).map_err(|it| it.to_string())?;
        check_baseline(&server.view, &snapshot)?;
        if !server.backend.asked.is_empty() {
            return Err(format!("these questions have not settled: {:?}", server.backend.asked));
        }
        Ok(())
    }
}
