//! Shell completions and manual pages, generated from the definition of the command line.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use anyhow::Context as _;
use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::command;

/// Prints the completions of a shell.
///
/// # Errors
///
/// Stdout cannot be written.
pub(crate) fn print_completions(shell: Shell) -> io::Result<()> {
    let mut completions = Vec::new();
    generate(shell, &mut command(), "rejoin", &mut completions);
    io::stdout().write_all(&completions)
}

/// Writes a manual page for the program, and one for each of its subcommands.
///
/// # Errors
///
/// The directory does not exist, or cannot be written. The error names the file.
pub(crate) fn write_manual(directory: &Path) -> anyhow::Result<()> {
    let program = command().disable_help_subcommand(true);
    for subcommand in program.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let name = subcommand.get_name();
        let mut page = subcommand.clone().bin_name(format!("rejoin {name}"));
        // By default it lists every option.
        let usage = page.render_usage().to_string();
        page = page.override_usage(usage.trim_start_matches("Usage: ").to_owned());
        write_page(directory, page, &format!("rejoin-{name}"))?;
    }
    write_page(directory, program, "rejoin")
}

fn write_page(directory: &Path, command: Command, name: &str) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.1"));
    let named = command.name(name.to_owned()).version(env!("CARGO_PKG_VERSION"));
    let written = File::create(&path).and_then(|mut file| Man::new(named).render(&mut file));
    written.with_context(|| path.display().to_string())
}
