//! The agenda of a simulated cluster: what happens when, in virtual time.

use std::collections::BTreeMap;

use rejoin_core::cluster::NodeId;
use rejoin_core::{EventId, Instant};

use super::exchange::{End, Item, Part};
use super::faults::Disturbance;
use super::names::{
    BackendNo, CallNo, ClientNo, ExchangeNo, NodeNo, ReaderNo, Serial, SessionNo, TaskNo,
};
use super::store::{Answer, Operation};

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Something happens at a node, unless it has died.
    Node(NodeNo, NodeEvent),
    /// An operation arrives at the store.
    Store { node: NodeNo, call: CallNo, starts: Option<u64>, operation: Operation },
    /// A client does its next step.
    Turn(ClientNo),
    /// A status arrives at a client.
    Status(ExchangeNo, Status),
    /// An event arrives at a client.
    Item(ExchangeNo, Item),
    /// A client sees the end of a response.
    End(ExchangeNo, End),
    /// A client no longer waits for a response.
    Impatient(ExchangeNo),
    /// A client resumes a stream.
    Resume(ReaderNo),
    /// A client no longer waits for the response to a request.
    Cancel(Serial),
    /// The connection of a client breaks.
    Cut(ExchangeNo),
    /// A client asks for a session that it has deleted.
    Probe(ClientNo, SessionNo),
    /// Something goes wrong, or is well again.
    Disturbance(Disturbance),
}

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// 200: a stream begins, or an answer.
    Stream,
    /// 202.
    Accepted,
    /// 204.
    Deleted,
    /// 404: `is_gone` tells the session from the request of one without a backend.
    NotFound,
    /// 502.
    BadGateway,
    /// 503.
    Unavailable,
    /// 400 of a resume: the stream has expired, or was cancelled.
    Expired(EventId),
    /// 400 of a resume: no such event.
    Unknown(EventId),
    /// 409 or 429: too many of something, or an id in use.
    Rejected,
}

/// Something that happens at a node.
#[derive(Clone, Debug)]
pub(super) enum NodeEvent {
    /// Something is due.
    Tick,
    /// A request of a client arrives.
    Request(ExchangeNo),
    /// A request arrives from the node that a client has sent it to.
    Forwarded(ExchangeNo),
    /// The owner to which a request was forwarded does not have the session.
    NotHere(ExchangeNo),
    /// An owner cannot be connected to.
    Unreachable(SessionNo, NodeId),
    /// A part of a response arrives from an owner, on its way to a client.
    Relay(ExchangeNo, Part),
    /// A response body takes events.
    Pull(ExchangeNo),
    /// A client, or the node between, has gone.
    Gone(ExchangeNo),
    /// A request has waited for too long.
    Waited(ExchangeNo),
    /// The store has answered.
    Answer(CallNo, Answer),
    /// The store has not answered in time.
    NoAnswer(CallNo),
    /// The connection to the store has ended.
    StoreLost(u64),
    /// It connects to the store again.
    Connect,
    /// A backend does the next thing that it has planned.
    Task(BackendNo, TaskNo),
}

/// The events of a simulation, in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Instant, u64), Event>,
    count: u64,
}

impl Agenda {
    /// Adds an event, after those of the same time.
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.entries.insert((at, self.count), event);
    }

    /// Takes the next event, unless it is later than `end`.
    pub(super) fn pop_until(&mut self, end: Instant) -> Option<(Instant, Event)> {
        let entry = self.entries.first_entry()?;
        let (at, _) = *entry.key();
        (at <= end).then(|| (at, entry.remove()))
    }
}
