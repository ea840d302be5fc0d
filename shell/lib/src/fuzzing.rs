//! Entry points of fuzz targets: what reads the bytes of other processes, and of a store.

use bytes::{Buf as _, Bytes};
use rejoin_core::{
    Actions, Config, Input, Instant,
    cluster::{EntryId, NodeId},
};

use crate::{cluster, cluster::SessionLog, store::Entry};

/// Reads what a link carries. Returns whether all of it is valid.
///
/// # Panics
///
/// Panics if a frame or a message is not read again as it was written.
#[must_use]
pub fn frames(data: &[u8]) -> bool {
    cluster::link::fuzz(data)
}

/// Reads entries, each with its length in two bytes before it, and restores the session. Returns
/// whether that is valid.
///
/// # Panics
///
/// Panics if the restored session panics.
#[must_use]
pub fn log(mut data: &[u8]) -> bool {
    let mut log = SessionLog::new(u64::MAX);
    let mut number = 0;
    while let Ok(length) = data.try_get_u16() {
        let Some((entry, rest)) = data.split_at_checked(length.into()) else { return false };
        data = rest;
        let (id, bytes) = (EntryId { epoch: 1, number }, Bytes::copy_from_slice(entry));
        if log.add(&Entry { id, bytes }).is_err() {
            return false;
        }
        number += 1;
    }
    let mut config = Config::default();
    config.commits = true;
    let Ok(config) = config.validate() else { return false };
    let Ok(restored) = log.restore(NodeId(1).skip(0), config, Instant::EPOCH) else { return false };
    let (mut core, mut actions) = (restored.core, Actions::new());
    let _ = core.handle(Instant::EPOCH, Input::BackendLost, &mut actions);
    let _ = core.handle(Instant::MAX, Input::Tick, &mut actions);
    let _ = core.handle(Instant::MAX, Input::Delete, &mut actions);
    assert!(core.close_reason().is_some(), "it can be deleted");
    true
}
