//! The setup of the child of one session: its environment variables and arguments.

use std::{ffi::OsString, fmt, os::unix::ffi::OsStrExt as _};

use thiserror::Error;

use crate::Principal;

/// Environment variables of the child of one session, in addition to those of all: names and
/// values.
pub type SessionEnv = Vec<(OsString, OsString)>;

/// What the child of one session is started with, in addition to what all have in common.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSetup {
    /// Environment variables.
    pub env: SessionEnv,
    /// Arguments that replace those of [`StdioConfig`](super::StdioConfig). Default: none.
    pub args: Option<Vec<OsString>>,
    /// To whom the session belongs. A child that has not written anything yet only serves another
    /// session of the same principal.
    pub(super) principal: Option<Principal>,
}

/// Shows the names of variables only: their values may be secret.
impl fmt::Debug for SessionSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("SessionSetup").field("env", &names).finish_non_exhaustive()
    }
}

/// The error for what cannot be an environment variable. It does not show the value, which may be a
/// secret.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "{name:?} cannot be an environment variable: a name has no `=`, and no part has a NUL byte"
)]
pub(super) struct InvalidVariable {
    name: OsString,
}

/// Checks that the system can pass the variables on as they are.
pub(super) fn check(env: &SessionEnv) -> Result<(), InvalidVariable> {
    let is_valid = |(name, value): &&(OsString, OsString)| {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        !name.is_empty() && !name.contains(&b'=') && !name.contains(&0) && !value.contains(&0)
    };
    match env.iter().find(|variable| !is_valid(variable)) {
        Some((name, _)) => Err(InvalidVariable { name: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_the_system_would_change_are_refused() {
        let check = |name: &str, value: &str| check(&vec![(name.into(), value.into())]).is_ok();
        assert!(check("A", "") && check("A_B", "c=d"));
        assert!(!check("", "a") && !check("A=B", "c") && !check("A\0", "b") && !check("A", "b\0"));
    }
}
