//! Worlds over the wire, as a program.

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use clap::Parser;
use rejoin_wire::{Build, Kind, Knobs, Programs, build, run_child, soak};
use tokio::time::Instant;

#[derive(Debug, Parser)]
#[command(about = "Worlds over the wire")]
enum Arguments {
    /// Run the program for a while under load, with faults, and see what is left
    Soak {
        /// For how many minutes
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// What goes wrong
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Be the server of one session, on stdin and stdout
    Child {
        /// What goes wrong, and how often
        seed: u64,
        /// The folder to write down in what is heard
        heard: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Soak { minutes, seed } => soak_all(Duration::from_secs(60 * minutes), seed),
        Arguments::Child { seed, heard } => run_child(seed, process::id().into(), &heard),
    }
}

/// Soaks the program's own server, and a process for each session, at once.
fn soak_all(time: Duration, seed: u64) -> anyhow::Result<()> {
    let programs = Programs { rejoin: build(Build::Release)?, wire: env::current_exe()? };
    let kinds = [("its own server", Kind::Demo), ("a process each", Kind::Child)];
    let threads = kinds.map(|(name, kind)| {
        let programs = programs.clone();
        let knobs = Knobs::draw_soaking(seed, kind);
        let begun = Instant::now();
        let run = move || {
            let mut report = |soak: &rejoin_wire::Soak| {
                say(&format!("{:>5} s  {name}: {soak}", begun.elapsed().as_secs()));
            };
            soak(&knobs, &programs, time, &mut report)
        };
        (name, thread::spawn(run))
    });
    let mut is_fine = true;
    for (name, thread) in threads {
        match thread.join() {
            Ok(Ok(soak)) => {
                say(&soak.tally);
                say(&format!("{name}: {soak}; nothing lost, doubled or leaked"));
            }
            Ok(Err(wrong)) => {
                is_fine = false;
                say(&format!("{name}: WRONG: {wrong:#}"));
            }
            Err(_) => is_fine = false,
        }
    }
    process::exit(i32::from(!is_fine));
}

fn say(what: &dyn Display) {
    // Who does not read it does not miss it.
    let _ = writeln!(io::stdout(), "{what}");
}
