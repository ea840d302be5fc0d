//! The command line, and how much there is to do.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use crate::server::Kind;

/// Measures rejoin beside rmcp, beside bare hyper, and beside other gateways.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// Does less of everything: under two minutes instead of a quarter of an hour
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the figures go as JSON, and the ratios as SVG
    #[arg(long, default_value = "target/bench")]
    pub(crate) output: PathBuf,
    /// Only these sections
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Section>,
    /// Where the text of the messages and the order of the clients begin
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Section {
    /// The session layer alone, in this process
    Sessions,
    /// Sessions that have nothing to do: memory and deadlines
    Idle,
    /// Over HTTP
    Http,
    /// Gateways in front of a server on stdio
    Gateways,
}

/// What the program does when it runs itself.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// Is a server
    Serve {
        /// Which one
        kind: Kind,
        /// What every call echoes, as the bare limit has to know beforehand
        text: String,
    },
    /// Holds sessions, and says what they cost
    Hold {
        /// Whose sessions
        layer: LayerName,
        /// How many
        count: usize,
        /// After how many seconds they end; without it, they are only counted
        timeout: Option<u64>,
    },
    /// Is a server on stdio
    Stdio,
}

/// A session layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LayerName {
    /// rejoin with a handler
    Rejoin,
    /// rejoin with a handler that needs no task
    Inline,
    /// rmcp with a loop
    Rmcp,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizing {
    /// Rounds of what takes milliseconds.
    pub(crate) rounds: usize,
    /// Rounds of what takes up to a second.
    pub(crate) heavy_rounds: usize,
    /// How many sessions are many for requests.
    pub(crate) many_sessions: usize,
    /// How many idle sessions are many.
    pub(crate) idle_sessions: usize,
    /// How long idle sessions live where that is measured.
    pub(crate) idle_timeout: Duration,
    /// How long a server is under load in one round.
    pub(crate) load_duration: Duration,
    /// How many rounds of load there are.
    pub(crate) load_rounds: usize,
    /// How many sessions get enough requests beforehand to fill all that they keep.
    pub(crate) saturated_sessions: usize,
    /// How many clients there are where there are many.
    pub(crate) clients: usize,
    /// How long idle streams are watched.
    pub(crate) idle_duration: Duration,
    /// How many calls a gateway answers before it is measured.
    pub(crate) gateway_warmup_calls: usize,
}

impl Sizing {
    /// Everything.
    pub(crate) const FULL: Self = Self {
        rounds: 41,
        heavy_rounds: 9,
        many_sessions: 10_000,
        idle_sessions: 100_000,
        idle_timeout: Duration::from_secs(15),
        load_duration: Duration::from_secs(1),
        load_rounds: 9,
        saturated_sessions: 64,
        clients: 1_000,
        idle_duration: Duration::from_secs(20),
        gateway_warmup_calls: 4_000,
    };

    /// The same, less exactly.
    pub(crate) const QUICK: Self = Self {
        rounds: 9,
        heavy_rounds: 3,
        many_sessions: 2_000,
        idle_sessions: 20_000,
        idle_timeout: Duration::from_secs(5),
        load_duration: Duration::from_millis(300),
        load_rounds: 3,
        saturated_sessions: 4,
        clients: 1_000,
        idle_duration: Duration::from_secs(3),
        gateway_warmup_calls: 1_000,
    };
}
