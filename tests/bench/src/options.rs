//! Command line, and sizes of the workloads.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use crate::server::Kind;

/// Compares rejoin with rmcp, a minimal hyper service and other gateways
#[derive(Debug, Parser)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// Run fewer and shorter rounds: under 2 minutes instead of 15
    #[arg(long)]
    pub(crate) quick: bool,
    /// Directory for the results: figures as JSON and Markdown, ratios as SVG
    #[arg(long, default_value = "target/bench")]
    pub(crate) output: PathBuf,
    /// Run only these sections
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Section>,
    /// Seed of the message text and of the order of clients
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Section {
    /// Session layers alone, in this process
    Sessions,
    /// Idle sessions: memory and expiry
    Idle,
    /// Busy sessions: memory after many requests
    Busy,
    /// HTTP service of rmcp, with the session manager of rejoin or its own
    DropIn,
    /// HTTP servers
    Http,
    /// `rejoin serve` and bare hyper, with TLS and without
    Tls,
    /// Several nodes of `rejoin serve` with a store
    Cluster,
    /// Gateways in front of a stdio server
    Gateways,
}

/// Role of a process that the benchmark starts from its own program.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// Serve HTTP
    Serve {
        /// Kind of server
        kind: Kind,
        /// Text that every call echoes; the bare hyper server needs it in advance
        text: String,
        /// Directory of the certificate and its key, for TLS
        #[arg(long)]
        tls: Option<PathBuf>,
    },
    /// Hold idle sessions and print their cost
    Hold {
        /// Session layer
        layer: LayerName,
        /// Number of sessions
        count: usize,
        /// Idle timeout in seconds; without it, only memory is measured
        timeout: Option<u64>,
    },
    /// Send requests in many sessions, and print the memory of this process
    Busy {
        /// Session layer
        layer: LayerName,
        /// Number of sessions
        sessions: usize,
        /// Number of requests in each session
        calls: usize,
    },
    /// Serve stdio
    Stdio,
}

/// A session layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LayerName {
    /// rejoin with a handler in a task
    Rejoin,
    /// rejoin with a handler that runs inline, without a task
    Inline,
    /// rmcp with a handler in a task
    Rmcp,
    /// HTTP service of rmcp with the session manager of rejoin
    DropIn,
    /// HTTP service of rmcp with its own session manager
    DropInBaseline,
}

impl LayerName {
    /// Returns the argument of the command line.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Rejoin => "rejoin",
            Self::Inline => "inline",
            Self::Rmcp => "rmcp",
            Self::DropIn => "drop-in",
            Self::DropInBaseline => "drop-in-baseline",
        }
    }
}

/// Sizes of the workloads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizing {
    /// Number of rounds of workloads that take milliseconds.
    pub(crate) rounds: usize,
    /// Number of rounds of workloads that take up to a second.
    pub(crate) heavy_rounds: usize,
    /// Number of sessions in workloads with many sessions.
    pub(crate) many_sessions: usize,
    /// Number of idle sessions.
    pub(crate) idle_sessions: usize,
    /// Idle timeout when expiry is measured.
    pub(crate) idle_timeout: Duration,
    /// Number of busy sessions.
    pub(crate) busy_sessions: usize,
    /// Number of requests in each busy session.
    pub(crate) busy_calls: usize,
    /// Number of rounds of busy sessions.
    pub(crate) busy_rounds: usize,
    /// Duration of load in one round.
    pub(crate) load_duration: Duration,
    /// Number of rounds of load.
    pub(crate) load_rounds: usize,
    /// Number of sessions whose logs are filled to their limits before a measurement.
    pub(crate) saturated_sessions: usize,
    /// Number of clients in workloads with many clients.
    pub(crate) clients: usize,
    /// How long the CPU time of idle streams is measured.
    pub(crate) idle_duration: Duration,
    /// Number of calls through a gateway before it is measured.
    pub(crate) gateway_warmup_calls: usize,
}

impl Sizing {
    /// The full benchmark.
    pub(crate) const FULL: Self = Self {
        rounds: 41,
        heavy_rounds: 9,
        many_sessions: 10_000,
        idle_sessions: 100_000,
        idle_timeout: Duration::from_secs(15),
        busy_sessions: 300,
        busy_calls: 5_000,
        busy_rounds: 3,
        load_duration: Duration::from_secs(1),
        load_rounds: 9,
        saturated_sessions: 64,
        clients: 1_000,
        idle_duration: Duration::from_secs(20),
        gateway_warmup_calls: 4_000,
    };

    /// A shorter, less precise benchmark.
    pub(crate) const QUICK: Self = Self {
        rounds: 9,
        heavy_rounds: 3,
        many_sessions: 2_000,
        idle_sessions: 20_000,
        idle_timeout: Duration::from_secs(5),
        busy_sessions: 100,
        busy_calls: 500,
        busy_rounds: 1,
        load_duration: Duration::from_millis(300),
        load_rounds: 3,
        saturated_sessions: 4,
        clients: 1_000,
        idle_duration: Duration::from_secs(3),
        gateway_warmup_calls: 1_000,
    };
}
