//! The `rejoin-wire` program: soak tests, and the child process that they use.

#[cfg(target_os = "linux")]
mod cluster_command;

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use clap::Parser;
use rejoin_test_support::build_released_program;
#[cfg(target_os = "linux")]
use rejoin_wire::run_cluster_server;
use rejoin_wire::{BackendKind, Parameters, Programs, Soak, run_child, soak, soak_round};
use tokio::time::Instant;

#[derive(Debug, Parser)]
#[command(about = "Soak test of rejoin with faults on the network")]
enum Arguments {
    /// Run the program under load with faults, and check that nothing leaks
    Soak {
        /// Duration in minutes
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// Seed of the faults
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Run only this round, counted from 0
        #[arg(long)]
        round: Option<u64>,
    },
    /// Run several nodes with one store under load, with faults of both
    #[cfg(target_os = "linux")]
    Cluster(cluster_command::Options),
    /// Run as the server of one session of a cluster, on stdin and stdout
    #[cfg(target_os = "linux")]
    ClusterServer {
        /// File in which calls are recorded
        record: PathBuf,
    },
    /// Run as the server of one session, on stdin and stdout
    Child {
        /// Whether the session is part of a soak
        #[arg(long)]
        soaking: bool,
        /// Directory in which received messages are recorded
        received: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Soak { minutes, seed, round } => soak_all(minutes, seed, round),
        #[cfg(target_os = "linux")]
        Arguments::Cluster(options) => cluster_command::run(&options),
        #[cfg(target_os = "linux")]
        Arguments::ClusterServer { record } => run_cluster_server(&record),
        Arguments::Child { soaking, received } => run_child(soaking, &received),
    }
}

/// Soaks the demo server, and a child process for each session, at the same time.
fn soak_all(minutes: u64, seed: u64, round: Option<u64>) -> anyhow::Result<()> {
    let itself = env::current_exe()?.display().to_string();
    let child = [&itself, "child", "--soaking"].map(str::to_owned).to_vec();
    let programs = Programs { rejoin: build_released_program().into(), child };
    let time = Duration::from_secs(60 * minutes);
    let kinds = [("demo server", BackendKind::Demo), ("child processes", BackendKind::Child)];
    let threads = kinds.map(|(name, kind)| {
        let programs = programs.clone();
        let parameters = Parameters::draw_soak(seed, kind);
        let started = Instant::now();
        let run = move || {
            let mut report = |text: &dyn Display| {
                print(&format_args!("{:>5} s  {name}: {text}", started.elapsed().as_secs()));
            };
            match round {
                Some(round) => soak_round(&parameters, &programs, round, &mut report),
                None => soak(&parameters, &programs, time, &mut report),
            }
        };
        (name, thread::spawn(run))
    });
    let mut is_fine = true;
    for (name, thread) in threads {
        match thread.join() {
            Ok(Ok(soak)) => is_fine &= is_good(name, &soak, round.is_none()),
            Ok(Err(failure)) => {
                is_fine = false;
                print(&format_args!("{name}: FAILED: {failure:#}"));
            }
            Err(_) => is_fine = false,
        }
    }
    process::exit(i32::from(!is_fine));
}

/// Prints the results, and returns whether nothing failed.
fn is_good(name: &str, soak: &Soak, is_whole: bool) -> bool {
    print(&soak.coverage);
    print(&format_args!("{name}: {soak:#}"));
    let checked = if is_whole { soak.check() } else { Ok(()) };
    if let Err(failure) = &checked {
        print(&format_args!("{name}: FAILED: {failure:#}"));
    }
    checked.is_ok() && soak.is_fine()
}

fn print(text: &dyn Display) {
    // A closed stdout is not an error.
    let _ = writeln!(io::stdout(), "{text}");
}
