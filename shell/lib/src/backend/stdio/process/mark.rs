//! Mark of a child in its environment.

use std::fmt;

/// Environment variable that names the child of rejoin from which a process descends. All
/// descendants inherit it, even those that have left their parent, their process group and
/// their session.
pub(crate) const MARK_VARIABLE: &str = "REJOIN_PROCESS_TREE";

/// The value of [`MARK_VARIABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Random number of this rejoin process.
    pub(super) instance: u64,
    /// Number of the child.
    pub(super) child: u64,
}

impl Mark {
    /// Finds the mark in the environment of a process.
    pub(super) fn find(environment: &[u8]) -> Option<Self> {
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|variable| {
            variable.strip_prefix(MARK_VARIABLE.as_bytes())?.strip_prefix(b"=")
        })?;
        let (instance, child) = str::from_utf8(value).ok()?.split_once('-')?;
        let instance = u64::from_str_radix(instance, 16).ok()?;
        Some(Self { instance, child: child.parse().ok()? })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.instance, self.child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_found_in_an_environment() {
        let mark = Mark { instance: 0xab, child: 12 };
        let environment = format!("A=1\0X{MARK_VARIABLE}=1-1\0{MARK_VARIABLE}={mark}\0B=2\0");
        assert_eq!(Mark::find(environment.as_bytes()), Some(mark));
        assert_eq!(Mark::find(b"A=1\0"), None);
        assert_eq!(Mark::find(format!("{MARK_VARIABLE}=ab\0").as_bytes()), None);
    }
}
