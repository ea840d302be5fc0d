//! Ops: the abstract steps of a history.

/// How many bytes make an [`Op`].
pub const OP_BYTES: usize = 8;

/// An abstract step. Its selectors are raw bytes, which a
/// [`World`](super::World) reads against what there is to select from, so that
/// every op means something at any point of any history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// How much time passes before it.
    pub wait: u8,
    /// Whether something more urgent happens instead, and other rare choices.
    pub chance: u8,
    /// What happens then.
    pub kind: OpKind,
}

/// What happens in an [`Op`], if nothing is more urgent: a session that waits for
/// `initialize` mostly gets it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "selectors are raw, their names say what they select")]
pub enum OpKind {
    /// Nothing but the time.
    Tick,
    /// A connection's body pulls events.
    Acknowledge { which: u8, far: u8 },
    /// The client posts requests.
    Post { shape: u8, which: u8, size: u8, count: u8, fault: u8 },
    /// The backend answers a request.
    Answer { which: u8, how: u8, size: u8, fault: u8 },
    /// The backend sends a notification.
    Notify { what: u8, which: u8, size: u8, related: u8, fault: u8 },
    /// A connection that the session ended is gone.
    ReportClosed { which: u8, far: u8 },
    /// A connection breaks.
    DropConnection { which: u8, far: u8 },
    /// The client sends a GET.
    Get { how: u8, which: u8, index: u8, fault: u8 },
    /// The client posts what is no request.
    PostMessages { what: u8, which: u8, size: u8, count: u8, fault: u8 },
    /// The backend sends a request.
    ServerRequest { which: u8, size: u8, related: u8, fault: u8 },
    /// The backend cancels a request of its own.
    CancelServerRequest { which: u8, fault: u8 },
    /// The driver reserves a stream.
    Reserve { which: u8, fault: u8 },
    /// The driver abandons a stream.
    Abandon { which: u8, fault: u8 },
    /// The backend wants a connection closed.
    Disconnect { which: u8, retry: u8, fault: u8 },
    /// The session ends, if it is meant.
    CloseSession { how: u8, sure: u8 },
}

impl Op {
    /// Reads an op. Zeros make the simplest one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; OP_BYTES]) -> Self {
        let [kind, wait, luck, rest @ ..] = bytes;
        let [which, one, two, three, four] = rest;
        let what = match kind {
            0..=11 => OpKind::Tick,
            12..=63 => OpKind::Acknowledge { which, far: one },
            64..=101 => OpKind::Post { which, shape: one, size: two, count: three, fault: four },
            102..=136 => OpKind::Answer { which, how: one, size: two, fault: three },
            137..=168 => {
                OpKind::Notify { which, what: one, size: two, related: three, fault: four }
            }
            169..=190 => OpKind::ReportClosed { which, far: one },
            191..=200 => OpKind::DropConnection { which, far: one },
            201..=217 => OpKind::Get { which, how: one, index: two, fault: three },
            218..=229 => {
                OpKind::PostMessages { which, what: one, size: two, count: three, fault: four }
            }
            230..=241 => OpKind::ServerRequest { which, size: one, related: two, fault: three },
            242..=243 => OpKind::CancelServerRequest { which, fault: one },
            244..=247 => OpKind::Reserve { which, fault: one },
            248..=249 => OpKind::Abandon { which, fault: one },
            250..=254 => OpKind::Disconnect { which, retry: one, fault: two },
            255 => OpKind::CloseSession { how: which, sure: one },
        };
        Self { wait, chance: luck, kind: what }
    }
}
