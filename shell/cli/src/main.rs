//! The `rejoin` program.

mod cli;
mod config;
mod demo;
mod logging;
mod replay;
mod serve;

fn main() -> anyhow::Result<()> {
    match cli::read() {
        cli::Task::Serve(config) => serve::run(*config),
        cli::Task::Replay(replay) => replay::run(&replay.file, replay.json),
        cli::Task::Watchdog => Ok(rejoin::watchdog::run()?),
    }
}
