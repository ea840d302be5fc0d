//! `${VAR}` and `${VAR:-default}` in values of the file.

use std::{env, ffi::OsString};

use thiserror::Error;

/// Maximum length of a value. No system passes a longer one to a process.
const VALUE_BYTES_MAX: usize = 128 << 10;

/// Why variables cannot be replaced. It has no value of any variable.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum VariableError {
    #[error("the environment variable `{0}` is not set: set it, or write `${{{0}:-default}}`")]
    Unset(String),
    #[error("the environment variable `{0}` is not valid UTF-8")]
    NotUtf8(String),
    #[error(
        "`${{{0}}}` is not supported: write `${{NAME}}` or `${{NAME:-default}}` for an environment \
         variable, or `$${{` for the characters themselves"
    )]
    Syntax(String),
    #[error("`${{` without `}}`: write `$${{` for the characters themselves")]
    Unclosed,
    #[error("the value is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the value contains a null character")]
    Null,
}

/// Returns the value of a variable of the environment.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Looks a variable up in the environment of this process.
pub(super) fn of_process(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Replaces variables. A variable that is empty has its default, as in a shell. `$${` is a literal
/// `${`, and any other `$` is literal.
pub(super) fn replace(text: &str, lookup: Lookup<'_>) -> Result<String, VariableError> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            append(&mut replaced, before)?;
            append(&mut replaced, "${")?;
            rest = after;
            continue;
        }
        let (reference, after) = after.split_once('}').ok_or(VariableError::Unclosed)?;
        append(&mut replaced, before)?;
        append(&mut replaced, &resolve(reference, lookup)?)?;
        rest = after;
    }
    append(&mut replaced, rest)?;
    if replaced.contains('\0') { Err(VariableError::Null) } else { Ok(replaced) }
}

fn append(replaced: &mut String, part: &str) -> Result<(), VariableError> {
    if replaced.len() + part.len() > VALUE_BYTES_MAX {
        return Err(VariableError::TooLong);
    }
    replaced.push_str(part);
    Ok(())
}

/// Returns the value of `NAME` or `NAME:-default`.
fn resolve(reference: &str, lookup: Lookup<'_>) -> Result<String, VariableError> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !name.bytes().all(is_name) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(VariableError::Syntax(reference.to_owned()));
    }
    match (lookup(name), default) {
        _ if name.is_empty() => Err(VariableError::Syntax(reference.to_owned())),
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => {
            value.into_string().map_err(|_| VariableError::NotUtf8(name.to_owned()))
        }
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(VariableError::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn replaced(text: &str) -> Result<String, VariableError> {
        replace(text, &|name| match name {
            "HOME" => Some("/home/me".into()),
            "_EMPTY" => Some("".into()),
            "NESTED" => Some("${HOME}".into()),
            "LATIN1" => Some(OsString::from_vec(vec![0xe9])),
            "LONG" => Some("x".repeat(VALUE_BYTES_MAX / 2 + 1).into()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_replaced() {
        for (text, value) in [
            ("", ""),
            ("plain $HOME $ } {x}", "plain $HOME $ } {x}"),
            ("${HOME}/a:${HOME}", "/home/me/a:/home/me"),
            ("${HOME:-/tmp}", "/home/me"),
            ("${UNSET:-/tmp}", "/tmp"),
            ("${UNSET:-}", ""),
            ("${UNSET:-a:-b}", "a:-b"),
            ("${_EMPTY}", ""),
            ("${_EMPTY:-default}", "default"),
            ("${NESTED}", "${HOME}"),
            ("$${HOME} $$5", "${HOME} $$5"),
        ] {
            assert_eq!(replaced(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn errors_name_the_variable() {
        assert_eq!(replaced("${UNSET}"), Err(VariableError::Unset("UNSET".to_owned())));
        assert_eq!(replaced("${LATIN1}"), Err(VariableError::NotUtf8("LATIN1".to_owned())));
        for syntax in ["input:token", "", "a b", "1A", ":-x", "HOME-x"] {
            let error = Err(VariableError::Syntax(syntax.to_owned()));
            assert_eq!(replaced(&format!("${{{syntax}}}")), error);
        }
        assert_eq!(replaced("a ${HOME"), Err(VariableError::Unclosed));
        assert_eq!(replaced("${LONG}${LONG}"), Err(VariableError::TooLong));
        assert_eq!(replaced("a\0"), Err(VariableError::Null));
        let text = VariableError::Unset("TOKEN".to_owned()).to_string();
        assert!(text.contains("`TOKEN` is not set") && text.contains("`${TOKEN:-default}`"));
    }
}
