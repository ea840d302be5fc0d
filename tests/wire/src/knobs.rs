//! Knobs of a world over the wire: those of any world, and a few more.

use std::time::Duration;

use rejoin::{HttpConfig, ManagerConfig};
use rejoin_core::Config;
use rejoin_tests::world::{self, Chance, Faults};

use crate::kernel::Line;
use crate::link::Longest;
use crate::sabotage::Sabotage;

/// All that a seed decides before anything happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Knobs {
    /// Those of any world.
    pub world: world::Knobs,
    /// What answers the clients.
    pub kind: Kind,
    /// Whether the server answers by one JSON object where it can.
    pub json: bool,
    /// After how long the server ends connections, to have their clients come back.
    pub reconnect_after: Option<Duration>,
    /// How many messages wait for the backend, if a batch has no more.
    pub queue_max: usize,
    /// By how much everything that clients and backends wait for is shorter.
    pub hurry: u32,
    /// What the systems of both ends buffer, where that is more than a pipe, and how fast
    /// clients read.
    pub line: Option<Line>,
    /// What the backend says to each request; then nothing else goes wrong.
    pub flood: Option<Flood>,
    /// Whether it is a round of a soak, whose faults end by time.
    pub is_soaking: bool,
    /// What the server does wrong, for tests of the judge.
    pub sabotage: Option<Sabotage>,
}

/// More than a session and the systems of both ends hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// How many messages there are.
    pub(crate) messages: usize,
    /// How large each of them is, at least.
    pub(crate) bytes: usize,
    /// Whether they belong to the request.
    pub(crate) is_related: bool,
}

/// What answers the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A backend of the test, with a task of its own.
    Task,
    /// One that is called with each message.
    Handler,
    /// One that is a process, and speaks on stdin and stdout.
    Child,
    /// The demo server of the program.
    Demo,
}

impl Knobs {
    /// Returns the knobs of a world in this process.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut luck = Chance::new(seed, LINE, 0);
        let knobs = Self::draw_without_line(seed);
        if luck.strikes(100) {
            knobs.flooded(&mut luck)
        } else {
            let line = luck.strikes(300).then(|| Line::draw(&mut luck));
            Self { line, ..knobs }
        }
    }

    /// Returns the knobs of a world without buffers.
    fn draw_without_line(seed: u64) -> Self {
        let mut luck = Chance::new(seed, LUCK, 0);
        let mut world = world::Knobs::draw(seed);
        world.room = world.room.max(64);
        Self {
            kind: if luck.strikes(300) { Kind::Handler } else { Kind::Task },
            json: luck.strikes(150),
            reconnect_after: luck.strikes(300).then(|| luck.millis(500, 20_000)),
            queue_max: luck.size(2, 40),
            hurry: 1,
            line: None,
            flood: None,
            is_soaking: false,
            sabotage: None,
            world,
        }
    }

    /// Returns the knobs of a world where nothing goes wrong, but clients read slowly what they
    /// are flooded with. Its stall timeouts are those by default, or shorter, where clients
    /// are faster.
    fn flooded(mut self, luck: &mut Chance) -> Self {
        let speed = u32::try_from(luck.between(1, 8)).unwrap_or(1);
        let line = Line::draw_steady(luck, speed);
        let is_related = luck.strikes(700);
        let world = &mut self.world;
        world.faults = Faults::default();
        world.clients.truncate(luck.size(1, 2));
        world.requests = 2;
        world.at_once = luck.size(1, 2);
        world.patience = Duration::from_secs(24 * 3_600);
        world.room = luck.size(4 << 10, 64 << 10);
        let usual = Config::default();
        let config = &mut world.config;
        *config = world::unlimited(config);
        config.stall_timeout_min = usual.stall_timeout_min / speed;
        config.stall_timeout_max = usual.stall_timeout_max.map(|time| time / speed);
        config.stall_disconnect_timeout = usual.stall_disconnect_timeout.map(|time| time / speed);
        // With more than one stream in use, a reader holds nobody up for longer than that.
        let is_alone = is_related && world.at_once == 1;
        config.hold_timeout = config.hold_timeout.filter(|_| is_alone);
        config.stream_events_max = luck.size(50, 1_000);
        config.stream_bytes_max = luck.size(64 << 10, 256 << 10);
        config.session_bytes_max = 8 * config.stream_bytes_max;
        let total = line.bytes() + 2 * config.session_bytes_max;
        let bytes = luck.size(500, 8_000).max(total / FLOOD_MESSAGES_MAX);
        let flood = Flood { messages: total / bytes, bytes, is_related };
        Self { reconnect_after: None, line: Some(line), flood: Some(flood), ..self }
    }

    /// Returns the knobs of a world over sockets, where time is real: all of it is shorter,
    /// and there is less to do.
    #[must_use]
    pub fn draw_hurried(seed: u64, kind: Kind, requests: usize) -> Self {
        let mut knobs = Self { kind, hurry: HURRY, ..Self::draw_without_line(seed) };
        let world = &mut knobs.world;
        world.clients.truncate(CLIENTS_MAX);
        world.requests = requests.div_ceil(world.clients.len().max(1));
        let config = &mut world.config;
        for time in timeouts(config) {
            *time = time.map(hurried);
        }
        config.stall_timeout_min = hurried(config.stall_timeout_min);
        // Processes take their time to start.
        config.init_timeout = config.init_timeout.map(|time| time.max(Duration::from_secs(5)));
        config.idle_timeout = config.idle_timeout.map(|time| time.min(Duration::from_secs(5)));
        world.patience = hurried(world.patience);
        world.backend_patience = hurried(world.backend_patience);
        world.keep_alive = hurried(world.keep_alive);
        knobs.reconnect_after = knobs.reconnect_after.map(hurried);
        if kind == Kind::Demo {
            // Its answers are larger than some limits.
            world.config.message_bytes_max = Config::default().message_bytes_max;
        }
        knobs
    }

    /// Returns the knobs of the first round of a soak: many clients, and limits as they are by
    /// default, or there would be little to replay. Nobody could be made to poll who is not
    /// primed.
    #[must_use]
    pub fn draw_soaking(seed: u64, kind: Kind) -> Self {
        let mut knobs = Self { is_soaking: true, ..Self::draw_hurried(seed, kind, 1) };
        let world = &mut knobs.world;
        world.clients = (0..CLIENTS_SOAKING).collect();
        world.requests = REQUESTS_SOAKING;
        world.config = world::unlimited(&world.config);
        world.config.priming = Config::default().priming;
        knobs
    }

    /// Returns the knobs of another round on the same server, with other luck and other
    /// faults.
    #[must_use]
    pub fn of_round(&self, round: u64) -> Self {
        let seed = self.world.seed.wrapping_add(round);
        let drawn = Self::draw_hurried(seed, self.kind, 1).world;
        let own = &self.world;
        let world = world::Knobs {
            clients: own.clients.clone(),
            requests: own.requests,
            keep_alive: own.keep_alive,
            config: own.config.clone(),
            ..drawn
        };
        Self { world, ..self.clone() }
    }

    /// Returns a time that somebody waits for.
    pub(crate) fn millis(&self, luck: &mut Chance, least: u64, most: u64) -> Duration {
        luck.millis(least, most) / self.hurry
    }

    /// Returns how long something in between stalls at most: longer than a reader may.
    pub(crate) fn stall_max(&self) -> Duration {
        2 * self.world.config.stall_disconnect_timeout.unwrap_or_default() + Duration::from_secs(1)
    }

    /// Returns for how long links let somebody wait. What is half-open takes the place of
    /// another connection: only where there is plenty of it the server has time to find out.
    pub(crate) fn longest(&self) -> Longest {
        let stall = self.stall_max();
        let half_open = if self.is_soaking { HALF_OPEN_MAX } else { stall };
        Longest { stall, half_open }
    }

    /// Returns how long a client waits for the head of a response.
    pub(crate) fn head_max(&self) -> Duration {
        (Duration::from_secs(100) / self.hurry).max(Duration::from_secs(10))
    }

    /// Returns after how long a client takes a stream on which nothing comes for dead.
    pub(crate) fn silence_max(&self) -> Duration {
        // In real time, a busy machine may let everybody wait.
        let patience = if self.hurry > 1 { 6 } else { 1 };
        2 * self.world.keep_alive + Duration::from_secs(patience)
    }

    /// Returns how long it may take from when nothing goes wrong any more until every
    /// request has settled.
    pub(crate) fn settle_bound(&self) -> Duration {
        // Each of those in flight, and one more, may wait for room at the backend.
        let turns = u32::try_from(self.world.at_once + 1).unwrap_or(u32::MAX);
        self.world.settle_bound() + self.silence_max() + turns * Duration::from_secs(5)
    }

    /// Returns how long it may take from then on until every session that its clients
    /// have left is gone, and all that was done for it.
    pub(crate) fn rest_bound(&self) -> Duration {
        let idle = self.world.config.idle_timeout.unwrap_or_default();
        self.world.baseline_bound() + idle + Duration::from_secs(10)
    }

    /// Returns what the manager is held to.
    #[must_use]
    pub fn settings(&self) -> ManagerConfig {
        ManagerConfig {
            session: self.world.config.clone(),
            queue_max: self.queue_max.max(self.world.config.batch_max),
            // Clients of a world take their time.
            unused_timeout: None,
            ..ManagerConfig::default()
        }
    }

    /// Returns what the HTTP service is held to.
    #[must_use]
    pub fn http_settings(&self) -> HttpConfig {
        HttpConfig {
            sse_keep_alive: Some(self.world.keep_alive),
            reconnect_after: self.reconnect_after,
            reconnect_delay: Duration::from_millis(300) / self.hurry,
            json_responses: self.json,
            ..HttpConfig::default()
        }
    }
}

/// Which luck the knobs are drawn with; those of the actors follow.
const LUCK: u64 = 10;
const LINE: u64 = 17;
/// How many messages a flood has at most.
const FLOOD_MESSAGES_MAX: usize = 1_500;
/// By how much a world in real time is faster than others.
const HURRY: u32 = 20;
/// How many clients it has at most.
const CLIENTS_MAX: usize = 4;
/// For how long a link is half-open in a soak: mostly until all is healed.
const HALF_OPEN_MAX: Duration = Duration::from_secs(1_000);
/// How many clients there are in a round of a soak, and how many requests each has at most.
const CLIENTS_SOAKING: usize = 24;
const REQUESTS_SOAKING: usize = 250;

/// Returns every time that a session waits.
pub(crate) fn timeouts(config: &mut Config) -> [&mut Option<Duration>; 12] {
    [
        &mut config.retention,
        &mut config.tombstone_timeout,
        &mut config.cancelled_timeout,
        &mut config.init_timeout,
        &mut config.idle_timeout,
        &mut config.orphan_timeout,
        &mut config.delivery_timeout,
        &mut config.server_request_timeout,
        &mut config.reservation_timeout,
        &mut config.stall_timeout_max,
        &mut config.hold_timeout,
        &mut config.stall_disconnect_timeout,
    ]
}

fn hurried(time: Duration) -> Duration {
    (time / HURRY).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use rejoin_core::Priming;

    use super::*;

    #[test]
    fn every_world_is_valid() {
        for seed in 0..1_000 {
            let all = [
                Knobs::draw(seed),
                Knobs::draw_hurried(seed, Kind::Child, 50),
                Knobs::draw_hurried(seed, Kind::Demo, 50),
                Knobs::draw_soaking(seed, Kind::Child),
                Knobs::draw_soaking(seed, Kind::Demo).of_round(seed),
            ];
            for knobs in all {
                assert!(knobs.world.config.clone().validate().is_ok(), "{knobs:?}");
                assert!(!knobs.world.clients.is_empty() && knobs.world.requests > 0);
                assert!(!knobs.is_soaking || knobs.world.config.priming != Priming::Never);
            }
        }
    }
}
