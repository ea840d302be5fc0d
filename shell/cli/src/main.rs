//! The `rejoin` program.

mod admin;
mod auth;
mod certificates;
mod cli;
mod config;
mod connect;
mod demo;
mod https;
mod logging;
mod observers;
mod readiness;
mod replay;
mod serve;
mod signals;
#[cfg(feature = "otel")]
mod telemetry;
#[cfg(not(feature = "otel"))]
#[path = "telemetry/disabled.rs"]
mod telemetry;
mod timeline;

fn main() -> anyhow::Result<()> {
    match cli::read() {
        cli::Task::Serve(config) => serve::run(*config),
        cli::Task::Connect(config) => connect::run(*config),
        cli::Task::Replay(replay) => replay::run(&replay.file, replay.json, replay.html.as_deref()),
        cli::Task::Completions(shell) => Ok(cli::print_completions(shell)?),
        cli::Task::Manual(directory) => cli::write_manual(&directory),
        cli::Task::Watchdog => Ok(rejoin::watchdog::run()?),
    }
}
