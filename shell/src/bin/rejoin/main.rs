//! The `rejoin` program.

mod cli;
mod config;
mod demo;
mod logging;
mod serve;

fn main() -> anyhow::Result<()> {
    match cli::read() {
        cli::Task::Serve(config) => serve::run(*config),
        cli::Task::Demo => demo::run(),
        cli::Task::Guard => Ok(rejoin::run_guard()?),
    }
}
