//! Numbers by which the parts of a simulated cluster refer to each other.

pub(super) type NodeNo = usize;
pub(super) type ClientNo = usize;
pub(super) type SessionNo = u64;
pub(super) type ExchangeNo = u64;
pub(super) type ReaderNo = u64;
pub(super) type BackendNo = u64;
pub(super) type TaskNo = u64;
pub(super) type CallNo = u64;
pub(super) type Serial = u64;
