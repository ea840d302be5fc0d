//! Names of what a store has.

use core::{error, fmt, str::FromStr};

/// The id of an entry, which is its place in the log of a session. As text it is `epoch-number`,
/// the id of an entry of a Redis stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// How often the session has had another owner, from 1.
    pub epoch: u64,
    /// The number of the entry in its epoch.
    pub number: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl FromStr for EntryId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (epoch, number) = text.split_once('-').ok_or(InvalidId)?;
        let parse = |text: &str| text.parse().map_err(|_| InvalidId);
        Ok(Self { epoch: parse(epoch)?, number: parse(number)? })
    }
}

/// Names a process that has sessions. One that starts again has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Returns how many event ids a session leaves out that this process takes over, after so many other
    /// takeovers, see `Session::restore_with`.
    ///
    /// A store that has forgotten a takeover lets another process, or the same one, take the session over
    /// from where the first takeover did. The ids of its events differ all the same, because what is left
    /// out depends on the process and the takeover. It is at most 2^51, which is enough for 8,192
    /// takeovers of one session.
    #[must_use]
    pub const fn skip(self, takeovers: u64) -> u64 {
        (1 + self.0.wrapping_add(takeovers) % (1 << 19)) << 32
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names what a store remembers: another id means that it has forgotten everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u128);

/// 32 hexadecimal digits.
impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for StoreId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId)
    }
}

/// A text is not the id of an entry or of a store: the store has what this version did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of an entry or of a store")
    }
}

impl error::Error for InvalidId {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn ids_are_parsed_as_they_are_written() {
        let id = EntryId { epoch: u64::MAX, number: 0 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1", "1-", "-1", "1-2-3", "a-1", "18446744073709551616-0"] {
            assert_eq!(text.parse::<EntryId>(), Err(InvalidId), "{text}");
        }
        let id = StoreId(5);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("x".parse::<StoreId>(), Err(InvalidId));
    }

    #[test]
    fn takeovers_leave_out_different_event_ids() {
        assert_eq!(NodeId(0).skip(0), 1 << 32);
        assert_eq!(NodeId((7 << 19) + 5).skip(0), 6 << 32);
        assert_eq!(NodeId((7 << 19) + 5).skip(1), 7 << 32);
        assert_eq!(NodeId(u64::MAX).skip(0), 1 << 51);
        assert_eq!(NodeId(u64::MAX).skip(1), 1 << 32);
    }

    #[test]
    fn an_entry_of_a_later_epoch_is_higher() {
        assert!(EntryId { epoch: 2, number: 0 } > EntryId { epoch: 1, number: 9 });
    }
}
