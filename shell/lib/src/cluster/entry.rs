//! Entries of the log of a session, as bytes.

use bytes::Bytes;
use rejoin_core::{
    Record, SNAPSHOT_FORMAT, Session, Snapshot,
    cluster::{EntryKind, NodeId},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ClientMessage, Principal};

/// The version of the format of entries, except of what the core defines.
const FORMAT: u8 = 1;

/// The version of what the core defines.
#[expect(clippy::cast_possible_truncation, reason = "checked below")]
const SNAPSHOT: u8 = SNAPSHOT_FORMAT as u8;

const _: () = assert!(SNAPSHOT as u32 == SNAPSHOT_FORMAT, "the format fits");

/// An entry: `[format][format of snapshots][kind][node, 8 bytes][payload]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    /// Who has written it.
    pub(crate) node: NodeId,
    /// Whether its payload has an earlier format, which cannot be read any more.
    is_old: bool,
    /// In `MessagePack`.
    pub(crate) payload: &'a [u8],
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The whole session. What is before it is not needed.
    Whole,
    /// Records since the entry before.
    Records,
    /// Another node has taken the session over.
    Claimed,
    /// Its owner has given it up, for any node to take over.
    Released,
    /// The session is closed.
    Closed,
}

/// A session as a whole: `S` is its snapshot, or a reference to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Whole<S> {
    /// The issuer and the subject of the principal that it belongs to.
    principal: Option<(Box<str>, Box<str>)>,
    /// The `initialize` request of its client.
    pub(crate) initialize: Bytes,
    pub(crate) snapshot: S,
}

/// An entry cannot be read.
#[derive(Clone, Debug, Error)]
pub(crate) enum EntryError {
    /// A later version of rejoin can read it.
    #[error("the entry has a later format")]
    Format,
    /// It was damaged.
    #[error("the entry is invalid: {0}")]
    Invalid(String),
}

const HEADER_BYTES: usize = 11;

impl<'a> Entry<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let invalid = || EntryError::Invalid("too short".to_owned());
        let (header, payload) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(invalid)?;
        let [format, snapshot, kind, node @ ..] = *header;
        if format != FORMAT || snapshot > SNAPSHOT {
            return Err(EntryError::Format);
        }
        let kind = KINDS.into_iter().find(|(number, _)| *number == kind);
        let (_, kind) = kind.ok_or(EntryError::Format)?;
        let is_old = snapshot < SNAPSHOT;
        Ok(Self { kind, node: NodeId(u64::from_be_bytes(node)), is_old, payload })
    }

    /// Returns the whole session.
    pub(crate) fn whole(&self) -> Result<Whole<Snapshot<Bytes>>, EntryError> {
        if self.is_old {
            return Err(EntryError::Invalid("an earlier version has written it".to_owned()));
        }
        rmp_serde::from_slice(self.payload).map_err(|error| EntryError::Invalid(error.to_string()))
    }

    /// Appends the records to `records`.
    pub(crate) fn records(&self, records: &mut Vec<Record<Bytes>>) -> Result<(), EntryError> {
        let mut payload = self.payload;
        while !payload.is_empty() {
            let record = rmp_serde::from_read(&mut payload);
            records.push(record.map_err(|error| EntryError::Invalid(error.to_string()))?);
        }
        Ok(())
    }
}

impl<S> Whole<S> {
    /// Returns the principal that the session belongs to.
    pub(crate) fn principal(&self) -> Option<Principal> {
        let (issuer, subject) = self.principal.as_ref()?;
        Some(Principal::new(issuer, subject))
    }
}

/// The numbers of kinds.
const KINDS: [(u8, Kind); 5] = [
    (1, Kind::Whole),
    (2, Kind::Records),
    (3, Kind::Claimed),
    (4, Kind::Released),
    (5, Kind::Closed),
];

impl From<EntryKind> for Kind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Whole => Self::Whole,
            EntryKind::Records => Self::Records,
            EntryKind::Released => Self::Released,
            EntryKind::Closed => Self::Closed,
        }
    }
}

/// Returns an entry with a payload.
pub(crate) fn write(kind: Kind, node: NodeId, payload: &[u8]) -> Bytes {
    let mut bytes = header(kind, node, payload.len());
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// Returns the entry of a whole session.
pub(crate) fn write_whole(
    node: NodeId,
    core: &Session<ClientMessage, Bytes>,
    principal: Option<&Principal>,
    initialize: &Bytes,
) -> Bytes {
    let principal =
        principal.map(|principal| (principal.issuer().into(), principal.subject().into()));
    let snapshot = core.snapshot();
    let whole = Whole { principal, initialize: initialize.clone(), snapshot: &snapshot };
    let mut bytes = header(Kind::Whole, node, core.kept_bytes());
    encode(&whole, &mut bytes);
    bytes.into()
}

/// Appends a record.
pub(crate) fn write_record(record: &Record<Bytes>, bytes: &mut Vec<u8>) {
    encode(record, bytes);
}

fn encode(value: &impl Serialize, bytes: &mut Vec<u8>) {
    let encoded = rmp_serde::encode::write(bytes, value);
    debug_assert!(encoded.is_ok(), "writing to memory does not fail: {encoded:?}");
}

fn header(kind: Kind, node: NodeId, payload_bytes: usize) -> Vec<u8> {
    let number =
        KINDS.into_iter().find(|(_, known)| *known == kind).map_or(0, |(number, _)| number);
    let mut bytes = Vec::with_capacity(HEADER_BYTES.saturating_add(payload_bytes));
    bytes.extend_from_slice(&[FORMAT, SNAPSHOT, number]);
    bytes.extend_from_slice(&node.0.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Change, Config, Instant};

    use super::*;

    const NODE: NodeId = NodeId(0x0102_0304_0506_0708);

    #[test]
    fn entries_are_read_as_they_are_written() {
        for (_, kind) in KINDS {
            let bytes = write(kind, NODE, b"payload");
            assert_eq!(
                Entry::read(&bytes).unwrap(),
                Entry { kind, node: NODE, is_old: false, payload: b"payload" }
            );
        }
    }

    #[test]
    fn entries_of_other_versions_are_not_read() {
        let bytes = write(Kind::Whole, NODE, b"");
        for at in 0..3 {
            let mut other = bytes.to_vec();
            other[at] = 99;
            assert!(matches!(Entry::read(&other), Err(EntryError::Format)));
        }
        assert!(matches!(Entry::read(&bytes[..10]), Err(EntryError::Invalid(_))));
    }

    #[test]
    fn who_has_written_an_entry_is_known_of_earlier_versions() {
        let mut old = write(Kind::Whole, NODE, b"").to_vec();
        old[1] -= 1;
        let entry = Entry::read(&old).unwrap();
        assert_eq!((entry.kind, entry.node), (Kind::Whole, NODE));
        assert!(matches!(entry.whole(), Err(EntryError::Invalid(_))));
    }

    #[test]
    fn a_whole_session_is_read_as_it_is_written() {
        let core = Session::new(Config::default().validate().unwrap(), Instant::default());
        let principal = Principal::new("https://issuer.example", "ann");
        let initialize = Bytes::from_static(b"{}");
        let bytes = write_whole(NODE, &core, Some(&principal), &initialize);
        let whole = Entry::read(&bytes).unwrap().whole().unwrap();
        assert_eq!(whole.principal(), Some(principal));
        assert_eq!((whole.initialize, whole.snapshot), (initialize, core.snapshot()));
        assert!(Entry::read(&bytes[..bytes.len() - 1]).unwrap().whole().is_err());
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        let written: Vec<Record<Bytes>> = (0..3)
            .map(|number| Record { sequence: number, change: Change::Completed { number } })
            .collect();
        let mut payload = Vec::new();
        for record in &written {
            write_record(record, &mut payload);
        }
        let bytes = write(Kind::Records, NODE, &payload);
        let mut read = Vec::new();
        Entry::read(&bytes).unwrap().records(&mut read).unwrap();
        assert_eq!(read, written);
        let damaged =
            Entry { payload: &payload[..payload.len() - 1], ..Entry::read(&bytes).unwrap() };
        assert!(damaged.records(&mut Vec::new()).is_err());
    }
}
