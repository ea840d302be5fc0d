//! The command line.

mod generate;
mod hints;

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, Args, Command, FromArgMatches, Parser, Subcommand,
    builder::{Resettable, StyledStr},
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;
use serde_json::Value;

pub(crate) use self::generate::{print_completions, write_manual};
use crate::{
    config::{self, Options, ProgramConfig},
    connect::{Connect, ConnectConfig},
};

/// The parsed command line.
pub(crate) enum Task {
    Serve(Box<ProgramConfig>),
    Connect(Box<ConnectConfig>),
    Replay(Replay),
    Completions(Shell),
    Manual(PathBuf),
    Watchdog,
}

#[derive(Parser)]
#[command(name = "rejoin", version, about = ABOUT, override_usage = USAGE, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    task: Subtask,
}

const USAGE: &str = "rejoin [OPTIONS] [-- COMMAND...]\n       rejoin <SUBCOMMAND>";

const ABOUT: &str = "MCP sessions that clients can rejoin without missing a message";

#[derive(Subcommand)]
enum Subtask {
    /// Serve MCP over HTTP (default subcommand)
    ///
    /// If a command is given, one process of it is started per session, which speaks MCP on
    /// stdin and stdout. Otherwise the built-in demo server is served.
    ///
    /// When the server is ready, its URL is printed as the only line of stdout; with --servers, a
    /// line for each server. The log is written to stderr.
    ///
    /// Every option is also an environment variable (`REJOIN_MAX_SESSIONS` for --max-sessions)
    /// and a key of the configuration file (`max-sessions`). Precedence: flag, environment
    /// variable, file. The command does not inherit these variables.
    Serve(Box<Serve>),
    /// Connect a client that only knows stdio to a remote MCP server
    ///
    /// Speaks MCP on stdin and stdout, one message per line, and Streamable HTTP with the server.
    /// Lost connections are resumed and lost sessions replaced; no request is sent twice that the
    /// server may have executed. The log is written to stderr.
    Connect(Box<Connect>),
    /// Replay a recorded session, and print or draw what it did
    Replay(Replay),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages to a directory
    Manual {
        /// Directory, which must exist
        directory: PathBuf,
    },
    /// Kill the children that are left when stdin is closed
    #[command(hide = true)]
    Watchdog,
}

#[derive(Args)]
pub(crate) struct Replay {
    /// Journal of a session, written by `rejoin serve --journal`
    pub(crate) file: PathBuf,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page that draws the session as a timeline, for a browser, to a new file instead
    #[arg(long, value_name = "PAGE", conflicts_with = "json")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Args)]
struct Serve {
    /// Configuration file in TOML
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Parses the command line, with the environment and the configuration file. Exits the process
/// on errors, and after printing help.
pub(crate) fn read() -> Task {
    let arguments = insert_default_subcommand(std::env::args_os().collect());
    parse(&arguments).unwrap_or_else(|error| {
        hints::add_hint(name_environment_variable(error, &arguments), &arguments).exit()
    })
}

/// Inserts the subcommand `serve` if only its options or its command are given.
fn insert_default_subcommand(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_subcommand_or_global_flag = |first: &OsString| {
        !first.to_string_lossy().starts_with('-')
            || ["-h", "--help", "-V", "--version"].iter().any(|known| first == known)
    };
    if !arguments.get(1).is_some_and(is_subcommand_or_global_flag) {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

fn parse(arguments: &[OsString]) -> Result<Task, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let serve = match Cli::from_arg_matches(&matches)?.task {
        Subtask::Serve(serve) => serve,
        Subtask::Connect(connect) => {
            return match connect.resolve() {
                Ok(config) => Ok(Task::Connect(Box::new(config))),
                Err(error) => Err(command.error(ErrorKind::ValueValidation, format!("{error:#}"))),
            };
        }
        Subtask::Replay(replay) => return Ok(Task::Replay(replay)),
        Subtask::Completions { shell } => return Ok(Task::Completions(shell)),
        Subtask::Manual { directory } => return Ok(Task::Manual(directory)),
        Subtask::Watchdog => return Ok(Task::Watchdog),
    };
    match ProgramConfig::resolve(serve.options, serve.config.as_deref()) {
        Ok(config) => Ok(Task::Serve(Box::new(config))),
        Err(error) => Err(command.error(ErrorKind::ValueValidation, format!("{error:#}"))),
    }
}

/// Returns the definition of the command line. Adds an environment variable to every option, and
/// its default to its help.
fn command() -> Command {
    use clap::CommandFactory as _;
    let defaults = config::defaults();
    Cli::command().mut_subcommand("serve", |serve| {
        serve.mut_args(|argument| {
            let name = argument.get_id().as_str().to_owned();
            if name == "command" {
                return argument.long(None).last(true).num_args(1..);
            }
            let argument = argument.env(config::variable(&name)).hide_env(true);
            let argument = match name.as_str() {
                "cors" | "env_clear" | "json_responses" => {
                    let argument = argument.num_args(0..=1).require_equals(true);
                    argument.default_missing_value("true").hide_possible_values(true)
                }
                "allow_host" | "allow_origin" | "auth_audience" | "auth_scopes" => {
                    argument.value_delimiter(',')
                }
                _ => argument,
            };
            let argument = match config::value_name(&argument) {
                Some(value) => argument.value_name(value),
                None => argument,
            };
            match defaults.get(&name.replace('_', "-")) {
                Some(default) => with_default(argument, default),
                None => argument,
            }
        })
    })
}

/// Shows a default in the help without setting it, because the file takes precedence over it.
fn with_default(argument: Arg, default: &Value) -> Arg {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let default = match default.as_array() {
        Some(values) if values.is_empty() => "none".to_owned(),
        Some(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        None => text(default),
    };
    let add = |help: &StyledStr| format!("{help} [default: {default}]");
    let (help, long_help) =
        (argument.get_help().map(add), argument.get_long_help().map(add).map(StyledStr::from));
    argument.help(help.unwrap_or_default()).long_help(Resettable::from(long_help))
}

/// Names the environment variable in the error for an invalid value that comes from it.
fn name_environment_variable(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let (Some(ContextValue::String(option)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let flag = option.split_whitespace().next().unwrap_or_default();
    let is_flag = |argument: &OsString| argument.to_string_lossy().starts_with(flag);
    let variable = config::variable(&flag.trim_start_matches('-').replace('-', "_"));
    let is_set = std::env::var_os(&variable).is_some_and(|set| set == value.as_str());
    if is_set && !arguments.iter().any(is_flag) {
        let option = format!("{variable} (environment variable of {flag})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(option));
    }
    error
}

#[cfg(test)]
mod tests {
    use rejoin::{ChildSupervisor, rejoin_core::UnrelatedRouting};

    use super::*;

    #[test]
    fn clap_accepts_the_command_definition() {
        command().debug_assert();
    }

    #[test]
    fn every_option_has_a_variable_a_key_and_a_default_in_its_help() {
        let mut command = command();
        command.build();
        let serve = command.find_subcommand("serve").unwrap();
        let defaults = config::defaults();
        let options: Vec<_> = serve
            .get_arguments()
            .filter(|argument| !["help", "config", "command"].contains(&argument.get_id().as_str()))
            .collect();
        assert_eq!(options.len() + ["command"].len(), defaults.len());
        for option in options {
            let name = option.get_id().as_str();
            let variable = option.get_env().unwrap().to_str().unwrap();
            assert_eq!(variable, format!("REJOIN_{}", name.to_uppercase()));
            assert!(defaults.contains_key(&name.replace('_', "-")), "{name}");
            for help in option.get_help().into_iter().chain(option.get_long_help()) {
                assert!(help.to_string().contains("[default: "), "{name}");
            }
            let value = option.get_value_names().unwrap().first().unwrap().as_str();
            let derived = name.to_uppercase();
            assert!(value != derived || name == "path", "{name} has a value of a known kind");
        }
    }

    fn error(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        parse(&arguments).err().unwrap().to_string()
    }

    #[test]
    fn errors_name_the_wrong_option() {
        assert!(error(&["rejoin", "serve", "--idle-timeout", "soon"]).contains("--idle-timeout"));
        assert!(error(&["rejoin", "serve", "--idle-timeot", "1s"]).contains("--idle-timeot"));
        assert!(
            error(&["rejoin", "serve", "--max-window-events", "0"]).contains("--max-window-events")
        );
        assert!(error(&["rejoin", "sreve"]).contains("sreve"));
    }

    #[test]
    fn serve_is_the_default_subcommand() {
        let task = |arguments: &[&str]| {
            parse(&insert_default_subcommand(arguments.iter().map(OsString::from).collect()))
        };
        let Ok(Task::Serve(config)) = task(&["rejoin", "--listen", "9100"]) else { panic!() };
        assert_eq!(config.listen.to_string(), "127.0.0.1:9100");
        let Ok(Task::Serve(config)) = task(&["rejoin", "--", "npx", "-y"]) else { panic!() };
        assert_eq!(config.command, ["npx", "-y"]);
        let kind = |flag| task(&["rejoin", flag]).err().unwrap().kind();
        assert_eq!(kind("--help"), ErrorKind::DisplayHelp);
        assert_eq!(kind("-V"), ErrorKind::DisplayVersion);
        let Ok(Task::Serve(config)) = task(&["rejoin"]) else { panic!() };
        assert_eq!(config.listen.port(), 8848);
        assert_eq!(config.command, [] as [&str; 0]);
        assert_eq!(config.sessions.session.unrelated_routing, UnrelatedRouting::Standalone);
    }

    fn serve(arguments: &[&str]) -> ProgramConfig {
        let arguments: Vec<_> = ["rejoin", "serve"].iter().chain(arguments).collect();
        let arguments: Vec<_> = arguments.into_iter().map(OsString::from).collect();
        let Ok(Task::Serve(config)) = parse(&arguments) else { panic!() };
        *config
    }

    #[test]
    fn options_after_the_separator_belong_to_the_command() {
        let config = serve(&[
            "--max-window-events",
            "3",
            "--",
            "npx",
            "-y",
            "a b",
            "--max-window-events",
            "4",
        ]);
        assert_eq!(config.command, ["npx", "-y", "a b", "--max-window-events", "4"]);
        assert_eq!(config.sessions.session.window_events_max, 3);
    }

    #[test]
    fn route_unrelated_defaults_to_sole_request_with_a_command() {
        let default = serve(&["--", "server"]);
        assert_eq!(default.sessions.session.unrelated_routing, UnrelatedRouting::SoleRequest);
        let explicit = serve(&["--route-unrelated", "standalone", "--", "server"]);
        assert_eq!(explicit.sessions.session.unrelated_routing, UnrelatedRouting::Standalone);
    }

    #[test]
    fn max_sessions_defaults_to_100_with_a_command() {
        assert_eq!(serve(&[]).sessions.sessions_max, 10_000);
        assert_eq!(serve(&["--", "server"]).sessions.sessions_max, 100);
        let explicit = serve(&["--max-sessions", "500", "--", "server"]);
        assert_eq!(explicit.sessions.sessions_max, 500);
    }

    #[test]
    fn env_sets_and_unsets_variables_of_the_command() {
        let config = serve(&["--env", "A=1=2", "--env", "B=", "--env", "C", "--", "server"]);
        let supervisor = ChildSupervisor::start(None, false).unwrap();
        let stdio = config.stdio(supervisor).unwrap();
        let value = |name: &str| stdio.env[&OsString::from(name)].clone();
        assert_eq!(value("A"), Some("1=2".into()));
        assert_eq!(value("B"), Some("".into()));
        assert_eq!(value("C"), None);
        assert!(error(&["rejoin", "serve", "--env", "=1"]).contains("--env"));
    }

    #[test]
    fn the_command_does_not_inherit_the_variables_of_options() {
        let config = serve(&["--env", "REJOIN_STORE=its-own", "--", "server"]);
        let supervisor = ChildSupervisor::start(None, false).unwrap();
        let env = config.stdio(supervisor).unwrap().env;
        let mut command = command();
        command.build();
        let serve = command.find_subcommand("serve").unwrap();
        let variables: Vec<_> = serve.get_arguments().filter_map(Arg::get_env).collect();
        assert_eq!(env.keys().len(), variables.len());
        for variable in variables {
            let own = (variable == "REJOIN_STORE").then(|| "its-own".into());
            assert_eq!(env.get(variable), Some(&own), "{variable:?}");
        }
    }
}
