//! The log level: directives of [`EnvFilter`], parsed strictly, so that typos are errors.

use std::{env, fmt, str::FromStr};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The levels, as error messages list them.
const LEVELS: &str = "error, warn, info, debug, trace or off";

/// Valid directives of an [`EnvFilter`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LogLevel(String);

impl LogLevel {
    /// Parses `RUST_LOG`, if it is set.
    pub(crate) fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(text) = env::var_os("RUST_LOG").filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let text = text.to_string_lossy();
        // By convention a bare module name enables all its levels.
        parse(&text, |name| Ok(name.to_owned()))
            .map(Some)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("RUST_LOG: `{text}`"))
    }

    /// Returns the directives.
    pub(crate) fn directives(&self) -> &str {
        &self.0
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, |name| {
            Err(format!("`{name}` is not one of {LEVELS}; for a module use `{name}=debug`"))
        })
    }
}

/// Parses directives. `on_name` handles a directive that is neither a level nor has one.
fn parse(text: &str, on_name: impl Fn(&str) -> Result<String, String>) -> Result<LogLevel, String> {
    let directives = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let directives = directives.map(|directive| match directive.rsplit_once('=') {
        // A span field with a value.
        Some((_, value)) if value.ends_with([']', '}']) => Ok(directive.to_owned()),
        Some((target, level)) => match parse_level(level) {
            Some(level) => Ok(format!("{target}={level}")),
            None => Err(format!("`{level}` is not one of {LEVELS}")),
        },
        None => parse_level(directive).map_or_else(|| on_name(directive), Ok),
    });
    let directives = directives.collect::<Result<Vec<_>, _>>()?.join(",");
    if directives.is_empty() {
        return Err("expected a level, such as `info`".to_owned());
    }
    EnvFilter::try_new(&directives).map_err(|error| error.to_string())?;
    Ok(LogLevel(directives))
}

/// Parses a level, or `warning`, as other programs call it.
fn parse_level(word: &str) -> Option<String> {
    let word = match &*word.to_ascii_lowercase() {
        // `LevelFilter` parses it as `error`.
        "" => return None,
        "warning" => "warn".to_owned(),
        word => word.to_owned(),
    };
    word.parse::<LevelFilter>().ok().map(|level| level.to_string())
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LogLevel> for String {
    fn from(level: LogLevel) -> Self {
        level.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_normalized() {
        let normalized = |text: &str| text.parse::<LogLevel>().unwrap().0;
        assert_eq!(normalized("warning"), "warn");
        assert_eq!(normalized("WARN, rejoin=Warning"), "warn,rejoin=warn");
        assert_eq!(normalized("info,hyper=trace"), "info,hyper=trace");
        assert_eq!(normalized("off"), "off");
    }

    #[test]
    fn unknown_levels_and_bare_names_are_errors() {
        let error = |text: &str| text.parse::<LogLevel>().unwrap_err();
        assert!(error("verbose").contains("`verbose` is not one of error, warn"));
        assert!(error("rejoin").contains("`rejoin=debug`"));
        assert!(error("").contains("info"));
        assert!(error("=,=").contains("is not one of"));
        assert!(error("rejoin=loud").contains("`loud` is not one of"));
    }

    #[test]
    fn rust_log_accepts_bare_names() {
        let read = parse("rejoin,hyper=Warning", |name| Ok(name.to_owned())).unwrap();
        assert_eq!(read.0, "rejoin,hyper=warn");
    }
}
