//! Faults and their rates.

use std::collections::BTreeMap;
use std::fmt;

use super::Rng;

/// A fault that can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection breaks before its first byte is received.
    CutEarly,
    /// A connection breaks after some bytes, usually in the middle of an event.
    CutMidway,
    /// A connection breaks after everything was written and before it was read.
    CutUnread,
    /// The client closes a connection, and the server does not notice.
    ServerHalfOpen,
    /// The server loses a connection, and the client does not notice.
    ClientHalfOpen,
    /// A reader is slow.
    SlowReader,
    /// A reader stops reading for a long time.
    StalledReader,
    /// A POST without a request is lost.
    PostLost,
    /// A POST without a request arrives twice.
    PostDuplicated,
    /// A client resumes after an event older than the last one it received.
    ResumeOld,
    /// A client resumes after an event that does not exist yet.
    ResumeFuture,
    /// A client resumes after an event of another session.
    ResumeForeign,
    /// A client opens spurious GETs.
    ExtraGets,
    /// A client sends a request a second time, with the same id.
    RequestDuplicated,
    /// A client cancels a pending request, or one that has ended.
    Cancel,
    /// The driver abandons a stream.
    Abandon,
    /// A client deletes its session while requests are pending.
    Delete,
    /// A client, or the driver, sends an invalid input.
    InvalidInput,
    /// The operator closes a session.
    Shutdown,
    /// A client sends a message before its session is initialized.
    BeforeInitialized,
    /// A client stays away for a long time.
    LongAbsence,
    /// A client responds to a server request twice, or not at all.
    WrongResponseCount,
    /// A client sends many requests at once.
    RequestBurst,
    /// A message is too large.
    OversizedMessage,
    /// The backend responds late.
    LateResponse,
    /// The backend never responds.
    NoResponse,
    /// The backend responds twice.
    DuplicateResponse,
    /// The backend responds to a request that was never made.
    UnknownResponse,
    /// The backend sends many messages at once.
    MessageBurst,
    /// A sender of the backend cannot wait.
    IgnoresBackpressure,
    /// The backend disconnects a stream.
    Disconnect,
    /// The backend exits.
    BackendExit,
    /// The process crashes, and another one restores the session from a snapshot.
    Crash,
    /// Simultaneous events happen in another order.
    Reorder,
    /// The clock is set back a little.
    ClockBack,
    /// The driver lowers the limit of the kept bytes for a while.
    LowerLimit,
    /// The operator drains a session.
    Drain,
}

/// Every fault, its maximum rate per thousand, and its coverage counter.
const FAULTS: [(Fault, u32, &str); 37] = [
    (Fault::CutEarly, 120, "disconnects: before the first byte"),
    (Fault::CutMidway, 300, "disconnects: mid-event"),
    (Fault::CutUnread, 120, "disconnects: written and not read"),
    (Fault::ServerHalfOpen, 120, "disconnects: half-open at the server"),
    (Fault::ClientHalfOpen, 80, "disconnects: half-open at the client"),
    (Fault::SlowReader, 300, "reads: slow"),
    (Fault::StalledReader, 80, "reads: stalled"),
    (Fault::PostLost, 200, "posts: lost"),
    (Fault::PostDuplicated, 200, "posts: duplicated"),
    (Fault::ResumeOld, 50, "resumes: old id"),
    (Fault::ResumeFuture, 30, "resumes: future id"),
    (Fault::ResumeForeign, 30, "resumes: foreign id"),
    (Fault::ExtraGets, 60, "gets: spurious"),
    (Fault::RequestDuplicated, 60, "requests: duplicated"),
    (Fault::Cancel, 120, "cancellations: random"),
    (Fault::Abandon, 30, "requests: abandoned"),
    (Fault::Delete, 4, "sessions: deleted with pending requests"),
    (Fault::InvalidInput, 100, "invalid inputs"),
    (Fault::Shutdown, 3, "sessions: shut down"),
    (Fault::BeforeInitialized, 300, "messages: before initialize"),
    (Fault::LongAbsence, 200, "resumes: after a long absence"),
    (Fault::WrongResponseCount, 200, "server requests: answered never, or twice"),
    (Fault::RequestBurst, 150, "requests: burst"),
    (Fault::OversizedMessage, 40, "messages: too large"),
    (Fault::LateResponse, 200, "responses: late"),
    (Fault::NoResponse, 100, "responses: never"),
    (Fault::DuplicateResponse, 100, "responses: duplicated"),
    (Fault::UnknownResponse, 50, "responses: to an unknown request"),
    (Fault::MessageBurst, 150, "messages: burst"),
    (Fault::IgnoresBackpressure, 700, "senders: ignoring backpressure"),
    (Fault::Disconnect, 100, "connections: disconnected by the backend"),
    (Fault::BackendExit, 8, "backends: exited"),
    (Fault::Crash, 900, "restarts"),
    (Fault::Reorder, 700, "simulation events: reordered"),
    (Fault::ClockBack, 50, "clocks: set back"),
    (Fault::LowerLimit, 500, "limits: lowered"),
    (Fault::Drain, 4, "sessions: drained"),
];

impl Fault {
    /// Returns the coverage counter of the fault.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = FAULTS.into_iter().find(|(fault, ..)| *fault == self);
        known.map_or("", |(_, _, name)| name)
    }

    /// Returns the coverage counters of all faults.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        FAULTS.into_iter().map(|(_, _, name)| name)
    }
}

/// The rate of each fault, per thousand.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Faults(BTreeMap<Fault, u32>);

impl Faults {
    /// Draws the rates; a quarter of them are zero.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let rate = |(fault, most, _)| {
            let rate = if rng.chance(250) { 0 } else { rng.between(1, u64::from(most)) };
            (fault, u32::try_from(rate).unwrap_or(0))
        };
        Self(FAULTS.into_iter().map(rate).filter(|(_, rate)| *rate > 0).collect())
    }

    /// Returns the rate of a fault.
    #[must_use]
    pub fn rate(&self, fault: Fault) -> u32 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// Returns the faults with a rate above zero.
    #[must_use]
    pub fn present(&self) -> Vec<Fault> {
        self.0.keys().copied().collect()
    }

    /// Sets the rate of a fault to zero.
    pub fn remove(&mut self, fault: Fault) {
        self.0.remove(&fault);
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_drawn_and_can_be_removed() {
        let all = (0..100).flat_map(|seed| Faults::draw(&mut Rng::new(seed, 0, 0)).present());
        let mut all: Vec<Fault> = all.collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), FAULTS.len());
        let mut faults = Faults::draw(&mut Rng::new(3, 0, 0));
        for fault in faults.present() {
            faults.remove(fault);
            assert_eq!(faults.rate(fault), 0);
        }
        assert_eq!(faults, Faults::default());
    }
}
