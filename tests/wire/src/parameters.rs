//! The parameters of a simulation over the wire: those of any simulation, and a few more.

use std::time::Duration;

use rejoin::{HttpConfig, ManagerConfig};
use rejoin_core::{Config, EVENT_OVERHEAD_BYTES};
use rejoin_tests::kit::{self, Faults, Rng};

use crate::kernel::TcpModel;
use crate::link::LinkTimeouts;

/// The parameters that are drawn from a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The parameters of any simulation.
    pub base: kit::Parameters,
    /// The kind of backend.
    pub backend: BackendKind,
    /// Whether the server responds with JSON where it can.
    pub json_responses: bool,
    /// The maximum age of connections before the server closes them, for clients to reconnect.
    pub reconnect_after: Option<Duration>,
    /// Size of the queue to the backend, unless a batch is larger.
    pub queue_max: usize,
    /// By how much all delays and timeouts are shortened.
    pub speedup: u32,
    /// The socket buffers, and how fast clients read. `None` is a plain pipe.
    pub tcp: Option<TcpModel>,
    /// Memory limit of all sessions together, for which they compete. `None` is more than they use.
    pub memory_bytes_max: Option<usize>,
    /// Maximum padding of a message of the backend, in bytes.
    pub padding_max: usize,
    /// What the backend sends for each request; if set, there are no faults.
    pub flood: Option<Flood>,
    /// Whether it is a round of a soak, whose phase with faults has a fixed duration.
    pub is_soak: bool,
}

/// More than the buffers of a session and of both kernels hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Number of messages.
    pub(crate) messages: usize,
    /// Minimum size of each message, in bytes.
    pub(crate) bytes: usize,
    /// Whether the messages belong to the request.
    pub(crate) is_related: bool,
}

/// The kind of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// A scripted backend, as a task.
    Task,
    /// A scripted backend, as a handler that is called with each message.
    Handler,
    /// A scripted backend, as a child process on stdin and stdout.
    Child,
    /// The demo server of the program.
    Demo,
}

impl AsRef<kit::Parameters> for Parameters {
    fn as_ref(&self) -> &kit::Parameters {
        &self.base
    }
}

impl AsMut<kit::Parameters> for Parameters {
    fn as_mut(&mut self) -> &mut kit::Parameters {
        &mut self.base
    }
}

impl Parameters {
    /// Draws the parameters of a simulation in this process.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, RNG_TCP, 0);
        let parameters = Self::draw_without_tcp(seed);
        if rng.chance(100) {
            parameters.with_flood(&mut rng)
        } else {
            let tcp = rng.chance(300).then(|| TcpModel::draw(&mut rng));
            Self { tcp, ..parameters }.with_memory_limit()
        }
    }

    /// Draws the parameters of a simulation without socket buffers.
    fn draw_without_tcp(seed: u64) -> Self {
        let mut rng = Rng::new(seed, RNG_PARAMETERS, 0);
        let mut base = kit::Parameters::draw(seed);
        base.pipe_bytes = base.pipe_bytes.max(64);
        base.config.commits = false;
        Self {
            backend: if rng.chance(300) { BackendKind::Handler } else { BackendKind::Task },
            json_responses: rng.chance(150),
            reconnect_after: rng.chance(300).then(|| rng.millis(500, 20_000)),
            queue_max: rng.size(2, 40),
            speedup: 1,
            tcp: None,
            memory_bytes_max: None,
            padding_max: PADDING_MAX,
            flood: None,
            is_soak: false,
            base,
        }
    }

    /// Limits the memory of all sessions together in some simulations, in which the backends' messages
    /// are so large that a few of them fill it. Clients then have enough for what they send.
    fn with_memory_limit(mut self) -> Self {
        let mut rng = Rng::new(self.base.seed, RNG_MEMORY, 0);
        if !rng.chance(400) {
            return self;
        }
        let config = &mut self.base.config;
        if rng.chance(700) {
            config.session_bytes_max = Config::default().session_bytes_max;
        }
        self.padding_max = rng.size(2_000, 15_000);
        config.message_bytes_max = self.padding_max + ENVELOPE_MAX;
        let event_bytes_max = config.message_bytes_max + EVENT_OVERHEAD_BYTES;
        let kept_max = rng.size(event_bytes_max, 6 * event_bytes_max);
        self.memory_bytes_max = Some((kept_max * 4 / 3 + 2).max(MEMORY_MIN));
        self
    }

    /// Returns the memory for what all sessions keep for their clients.
    pub(crate) fn kept_max(&self) -> usize {
        let memory = self.manager_config().memory_bytes_max;
        memory - memory / 4
    }

    /// Returns the parameters of a simulation without faults, in which clients read a flood
    /// slowly. Its stall timeouts are the defaults, or shorter by the factor by which clients
    /// are faster.
    fn with_flood(mut self, rng: &mut Rng) -> Self {
        let speed = u32::try_from(rng.between(1, 8)).unwrap_or(1);
        let tcp = TcpModel::draw_steady(rng, speed);
        let is_related = rng.chance(700);
        let base = &mut self.base;
        base.faults = Faults::default();
        base.clients.truncate(rng.size(1, 2));
        base.requests = 2;
        base.pending_max = rng.size(1, 2);
        base.request_timeout = Duration::from_secs(24 * 3_600);
        base.pipe_bytes = rng.size(4 << 10, 64 << 10);
        let defaults = Config::default();
        let config = &mut base.config;
        *config = kit::without_limits(config);
        config.stall_timeout_min = defaults.stall_timeout_min / speed;
        config.stall_timeout_max = defaults.stall_timeout_max.map(|time| time / speed);
        config.stall_disconnect_timeout =
            defaults.stall_disconnect_timeout.map(|time| time / speed);
        // With more than one stream in use, a reader holds senders no longer than the hold
        // timeout.
        let is_sole_stream = is_related && base.pending_max == 1;
        config.hold_timeout = config.hold_timeout.filter(|_| is_sole_stream);
        config.stream_events_max = rng.size(50, 1_000);
        config.stream_bytes_max = rng.size(64 << 10, 256 << 10);
        config.session_bytes_max = 8 * config.stream_bytes_max;
        let total = tcp.bytes() + 2 * config.session_bytes_max;
        let bytes = rng.size(500, 8_000).max(total / FLOOD_MESSAGES_MAX);
        let flood = Flood { messages: total / bytes, bytes, is_related };
        Self { reconnect_after: None, tcp: Some(tcp), flood: Some(flood), ..self }
    }

    /// Draws the parameters of a simulation over sockets, in real time: all times are shorter,
    /// and there are fewer requests.
    #[must_use]
    pub fn draw_real_time(seed: u64, backend: BackendKind, requests: usize) -> Self {
        let mut parameters = Self { backend, speedup: SPEEDUP, ..Self::draw_without_tcp(seed) };
        let base = &mut parameters.base;
        base.clients.truncate(CLIENTS_MAX);
        base.requests = requests.div_ceil(base.clients.len().max(1));
        let config = &mut base.config;
        for time in timeouts(config) {
            *time = time.map(sped_up);
        }
        // A reader must not be too slow only because the machine is busy.
        config.stall_timeout_min = sped_up(config.stall_timeout_min).max(SCHEDULING_MAX);
        for time in [&mut config.stall_timeout_max, &mut config.stall_disconnect_timeout] {
            *time = time.map(|time| time.max(config.stall_timeout_min));
        }
        // Child processes take time to start.
        config.init_timeout = config.init_timeout.map(|time| time.max(Duration::from_secs(5)));
        config.idle_timeout = config.idle_timeout.map(|time| time.min(Duration::from_secs(5)));
        // The program has no option for it.
        config.activity_reports = false;
        base.request_timeout = sped_up(base.request_timeout);
        base.server_request_timeout = sped_up(base.server_request_timeout);
        base.keep_alive = sped_up(base.keep_alive);
        parameters.reconnect_after = parameters.reconnect_after.map(sped_up);
        if backend == BackendKind::Demo {
            // Its responses are larger than some limits.
            base.config.message_bytes_max = Config::default().message_bytes_max;
        }
        parameters.with_memory_limit()
    }

    /// Draws the parameters of the first round of a soak: many clients, and default limits,
    /// because lower ones would leave little to replay. Priming is on, because only primed
    /// clients can be disconnected.
    #[must_use]
    pub fn draw_soak(seed: u64, backend: BackendKind) -> Self {
        let mut parameters = Self {
            is_soak: true,
            memory_bytes_max: None,
            padding_max: PADDING_MAX,
            ..Self::draw_real_time(seed, backend, 1)
        };
        let base = &mut parameters.base;
        base.clients = (0..SOAK_CLIENTS).collect();
        base.requests = SOAK_REQUESTS;
        base.config = kit::without_limits(&base.config);
        base.config.priming = Config::default().priming;
        parameters
    }

    /// Returns the parameters of another round on the same server, with another seed and other
    /// faults.
    #[must_use]
    pub fn for_round(&self, round: u64) -> Self {
        let seed = self.base.seed.wrapping_add(round);
        let drawn = Self::draw_real_time(seed, self.backend, 1).base;
        let own = &self.base;
        let base = kit::Parameters {
            clients: own.clients.clone(),
            requests: own.requests,
            keep_alive: own.keep_alive,
            config: own.config.clone(),
            ..drawn
        };
        Self { base, ..self.clone() }
    }

    /// Draws a delay, shortened by the speedup.
    pub(crate) fn millis(&self, rng: &mut Rng, least: u64, most: u64) -> Duration {
        rng.millis(least, most) / self.speedup
    }

    /// Returns the maximum stall of a link: longer than the session tolerates.
    pub(crate) fn stall_max(&self) -> Duration {
        2 * self.base.config.stall_disconnect_timeout.unwrap_or_default() + Duration::from_secs(1)
    }

    /// Returns how long links may block a peer. A half-open connection counts against a limit:
    /// only where the limits are high does the server have the time to find it.
    pub(crate) fn link_timeouts(&self) -> LinkTimeouts {
        let stall = self.stall_max();
        let half_open = if self.is_soak { HALF_OPEN_MAX } else { stall };
        LinkTimeouts { stall, half_open }
    }

    /// Returns how long a client waits for a response head.
    pub(crate) fn response_timeout(&self) -> Duration {
        (Duration::from_secs(100) / self.speedup).max(Duration::from_secs(10))
    }

    /// Returns after how long without any bytes a client treats a stream as dead.
    pub(crate) fn keep_alive_timeout(&self) -> Duration {
        // In real time, a busy machine may delay everything.
        let margin = if self.speedup > 1 { 6 } else { 1 };
        2 * self.base.keep_alive + Duration::from_secs(margin)
    }

    /// Returns an upper bound of the time from the end of the faults until all requests have
    /// settled.
    pub(crate) fn settle_bound(&self) -> Duration {
        // Each pending request, and one more, may wait for a permit of the backend's queue.
        let in_turn = u32::try_from(self.base.pending_max + 1).unwrap_or(u32::MAX);
        self.base.settle_bound() + self.keep_alive_timeout() + in_turn * Duration::from_secs(5)
    }

    /// Returns an upper bound of the time from then until every session that clients left is
    /// closed, and all its tasks have ended.
    pub(crate) fn quiescence_bound(&self) -> Duration {
        let idle = self.base.config.idle_timeout.unwrap_or_default();
        self.base.quiescence_bound() + idle + Duration::from_secs(10)
    }

    /// Returns the config of the session manager.
    #[must_use]
    pub fn manager_config(&self) -> ManagerConfig {
        let mut config = ManagerConfig::default();
        config.session = self.base.config.clone();
        config.queue_max = self.queue_max.max(self.base.config.batch_max);
        // Clients of a simulation may be slow to use a session.
        config.unused_timeout = None;
        if let Some(bytes_max) = self.memory_bytes_max {
            config.memory_bytes_max = bytes_max;
        }
        config
    }

    /// Returns the config of the HTTP service.
    #[must_use]
    pub fn http_config(&self) -> HttpConfig {
        let mut config = HttpConfig::default();
        let request_memory = self.manager_config().memory_bytes_max / 4;
        config.body_bytes_max = config.body_bytes_max.min(request_memory);
        config.sse_keep_alive = Some(self.base.keep_alive);
        config.reconnect_after = self.reconnect_after;
        config.reconnect_delay = Duration::from_millis(300) / self.speedup;
        config.json_responses = self.json_responses;
        config
    }
}

/// The kinds of actors whose generators draw the parameters; the numbers of the others follow.
const RNG_PARAMETERS: u64 = 10;
const RNG_TCP: u64 = 17;
const RNG_MEMORY: u64 = 18;
/// Maximum padding of a message where memory is not limited, in bytes.
const PADDING_MAX: usize = 200;
/// More than a message of the backend has without its padding, in bytes.
const ENVELOPE_MAX: usize = 1_000;
/// The memory limit that is enough for what clients send, most of which are small messages.
const MEMORY_MIN: usize = 32 << 10;
/// Maximum number of messages in a flood.
const FLOOD_MESSAGES_MAX: usize = 1_500;
/// More time than a busy machine takes to run a task.
const SCHEDULING_MAX: Duration = Duration::from_millis(100);
/// The speedup of a simulation in real time.
const SPEEDUP: u32 = 20;
/// Maximum number of clients in real time.
const CLIENTS_MAX: usize = 4;
/// How long a link may be half-open in a soak: in effect until the faults end.
const HALF_OPEN_MAX: Duration = Duration::from_secs(1_000);
/// Number of clients in a round of a soak, and maximum number of requests for each.
const SOAK_CLIENTS: usize = 24;
const SOAK_REQUESTS: usize = 250;

/// Returns all optional timeouts of a session.
pub(crate) fn timeouts(config: &mut Config) -> [&mut Option<Duration>; 11] {
    [
        &mut config.retention,
        &mut config.tombstone_timeout,
        &mut config.cancelled_timeout,
        &mut config.init_timeout,
        &mut config.idle_timeout,
        &mut config.orphan_timeout,
        &mut config.delivery_timeout,
        &mut config.server_request_timeout,
        &mut config.stall_timeout_max,
        &mut config.hold_timeout,
        &mut config.stall_disconnect_timeout,
    ]
}

fn sped_up(time: Duration) -> Duration {
    (time / SPEEDUP).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use rejoin_core::Priming;

    use super::*;

    #[test]
    fn drawn_parameters_are_valid() {
        for seed in 0..1_000 {
            let all = [
                Parameters::draw(seed),
                Parameters::draw_real_time(seed, BackendKind::Child, 50),
                Parameters::draw_real_time(seed, BackendKind::Demo, 50),
                Parameters::draw_soak(seed, BackendKind::Child),
                Parameters::draw_soak(seed, BackendKind::Demo).for_round(seed),
            ];
            for parameters in all {
                assert!(parameters.base.config.clone().validate().is_ok(), "{parameters:?}");
                assert!(!parameters.base.clients.is_empty() && parameters.base.requests > 0);
                assert!(!parameters.is_soak || parameters.base.config.priming != Priming::Never);
            }
        }
    }
}
