//! Tool arguments, declared once for both JSON Schema and validation.

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use thiserror::Error;

/// A required argument of a tool.
pub(super) trait Argument: Sync {
    fn name(&self) -> &'static str;

    /// Returns its JSON Schema.
    fn schema(&self) -> Value;
}

/// An integer within bounds.
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) min: u32,
    pub(super) max: u32,
}

/// A string of bounded size.
pub(super) struct Text {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) bytes_max: usize,
}

/// An invalid argument. The client is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum ArgumentError {
    #[error("the argument `{0}` is missing")]
    Missing(&'static str),
    #[error("the argument `{name}` must be an integer from {min} to {max}")]
    NotNumber { name: &'static str, min: u32, max: u32 },
    #[error("the argument `{name}` must be a string of at most {bytes_max} bytes")]
    NotText { name: &'static str, bytes_max: usize },
}

impl Number {
    /// Reads and validates the argument.
    pub(super) fn read(&self, arguments: &JsonObject) -> Result<u32, ArgumentError> {
        let Self { name, min, max, .. } = *self;
        let value = arguments.get(name).ok_or(ArgumentError::Missing(name))?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (min..=max).contains(number)).ok_or(ArgumentError::NotNumber {
            name,
            min,
            max,
        })
    }
}

impl Text {
    /// Reads and validates the argument.
    pub(super) fn read<'a>(&self, arguments: &'a JsonObject) -> Result<&'a str, ArgumentError> {
        let Self { name, bytes_max, .. } = *self;
        let value = arguments.get(name).ok_or(ArgumentError::Missing(name))?;
        value
            .as_str()
            .filter(|text| text.len() <= bytes_max)
            .ok_or(ArgumentError::NotText { name, bytes_max })
    }
}

impl Argument for Number {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schema(&self) -> Value {
        let Self { about, min, max, .. } = *self;
        json!({ "type": "integer", "description": about, "minimum": min, "maximum": max })
    }
}

impl Argument for Text {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schema(&self) -> Value {
        let Self { about, bytes_max, .. } = *self;
        json!({ "type": "string", "description": about, "maxLength": bytes_max })
    }
}
