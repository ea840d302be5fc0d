//! Worlds over the wire, as a program.

use clap::Parser;
use rejoin_wire::run_child;

#[derive(Debug, Parser)]
#[command(about = "Worlds over the wire")]
enum Arguments {
    /// Be the server of one session, on stdin and stdout
    Child {
        /// What goes wrong, and how often
        seed: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Child { seed } => run_child(seed, std::process::id().into()),
    }
}
