//! Hints for options of other gateways.

use std::ffi::OsString;

use clap::{
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Adds the equivalent of rejoin to the error for an unknown option or subcommand.
pub(super) fn add_hint(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let context = if error.kind() == ErrorKind::InvalidSubcommand {
        ContextKind::InvalidSubcommand
    } else {
        ContextKind::InvalidArg
    };
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return error;
    }
    let Some(ContextValue::String(unknown)) = error.get(context) else { return error };
    let Some(hint) = hint(unknown, arguments) else { return error };
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::SuggestedSubcommand);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
    error
}

fn hint(unknown: &str, arguments: &[OsString]) -> Option<String> {
    let (flag, value) = match unknown.split_once('=') {
        Some((flag, value)) => (flag, Some(value.to_owned())),
        None => (unknown, None),
    };
    let at = arguments.iter().position(|argument| {
        let argument = argument.to_string_lossy();
        argument == unknown || argument.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))
    })?;
    let after =
        || arguments.get(at..).unwrap_or_default().iter().map(|part| part.to_string_lossy());
    let inline = after().next().and_then(|this| Some(this.split_once('=')?.1.to_owned()));
    let value = value.or(inline).or_else(|| after().nth(1).map(Into::into));
    match flag {
        "--port" | "-p" => Some(format!("use `--listen {}`", value.as_deref().unwrap_or("PORT"))),
        "--host" | "--bind" | "--address" => {
            Some(format!("use `--listen {}:PORT`", value.as_deref().unwrap_or("HOST")))
        }
        "--stdio" | "--command" | "--cmd" => Some(format!(
            "put the command after `--`: `rejoin -- {}`",
            value.as_deref().unwrap_or("COMMAND")
        )),
        _ if !unknown.starts_with('-') => {
            let command = after().collect::<Vec<_>>().join(" ");
            Some(format!("put the server command after `--`: `rejoin -- {command}`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_of(line: &str) -> String {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error =
            super::super::parse(&super::super::insert_default_subcommand(arguments.clone()));
        add_hint(error.err().unwrap(), &arguments).to_string()
    }

    #[test]
    fn options_of_other_gateways_get_a_hint() {
        for (line, hint) in [
            ("rejoin --port 9100", "use `--listen 9100`"),
            ("rejoin serve --port=9100", "use `--listen 9100`"),
            ("rejoin --host 0.0.0.0", "use `--listen 0.0.0.0:PORT`"),
            ("rejoin --stdio server", "`rejoin -- server`"),
            ("rejoin npx -y server", "`rejoin -- npx -y server`"),
            ("rejoin serve npx -y server", "`rejoin -- npx -y server`"),
            ("rejoin --listen 9100 npx server", "`rejoin -- npx server`"),
        ] {
            let shown = hint_of(line);
            assert!(shown.contains(hint), "{line}: {shown}");
        }
        assert!(hint_of("rejoin serve --idle-timeot 1s").contains("--idle-timeout"));
    }
}
