//! Worlds over the wire, as a program.

mod build;

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use clap::Parser;
use rejoin_wire::{Kind, Knobs, Programs, Soak, run_child, soak, soak_round};
use tokio::time::Instant;

use build::build;

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
        /// Play only this round, counted from 0
        #[arg(long)]
        round: Option<u64>,
    },
    /// Be the server of one session, on stdin and stdout
    Child {
        /// Whether it is one of a soak
        #[arg(long)]
        soaking: bool,
        /// The folder to write down in what is heard
        heard: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Soak { minutes, seed, round } => soak_all(minutes, seed, round),
        Arguments::Child { soaking, heard } => run_child(soaking, &heard),
    }
}

/// Soaks the program's own server, and a process for each session, at once.
fn soak_all(minutes: u64, seed: u64, round: Option<u64>) -> anyhow::Result<()> {
    let itself = env::current_exe()?.display().to_string();
    let child = [&itself, "child", "--soaking"].map(str::to_owned).to_vec();
    let programs = Programs { rejoin: build()?, child };
    let time = Duration::from_secs(60 * minutes);
    let kinds = [("its own server", Kind::Demo), ("a process each", Kind::Child)];
    let threads = kinds.map(|(name, kind)| {
        let programs = programs.clone();
        let knobs = Knobs::draw_soaking(seed, kind);
        let begun = Instant::now();
        let run = move || {
            let mut report = |what: &dyn Display| {
                say(&format_args!("{:>5} s  {name}: {what}", begun.elapsed().as_secs()));
            };
            match round {
                Some(round) => soak_round(&knobs, &programs, round, &mut report),
                None => soak(&knobs, &programs, time, &mut report),
            }
        };
        (name, thread::spawn(run))
    });
    let mut is_fine = true;
    for (name, thread) in threads {
        match thread.join() {
            Ok(Ok(soak)) => is_fine &= is_good(name, &soak, round.is_none()),
            Ok(Err(wrong)) => {
                is_fine = false;
                say(&format_args!("{name}: WRONG: {wrong:#}"));
            }
            Err(_) => is_fine = false,
        }
    }
    process::exit(i32::from(!is_fine));
}

/// Says what was seen, and returns whether nothing was wrong.
fn is_good(name: &str, soak: &Soak, is_whole: bool) -> bool {
    say(&soak.tally);
    say(&format_args!("{name}: {soak:#}"));
    let checked = if is_whole { soak.check() } else { Ok(()) };
    if let Err(wrong) = &checked {
        say(&format_args!("{name}: WRONG: {wrong:#}"));
    }
    checked.is_ok() && soak.is_fine()
}

fn say(what: &dyn Display) {
    // Who does not read it does not miss it.
    let _ = writeln!(io::stdout(), "{what}");
}
