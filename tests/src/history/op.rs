//! Abstract steps of a history.

/// The number of bytes that encode an [`Op`].
pub const OP_BYTES: usize = 8;

/// An abstract step.
///
/// Its selectors are raw bytes. An [`Environment`](super::Environment) applies them to what
/// can be selected at that point, so every op becomes an input at any point of any history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Selects how much time passes before it.
    pub wait: u8,
    /// Selects whether a more urgent input takes its place, and other rare choices.
    pub chance: u8,
    /// The kind of input.
    pub kind: OpKind,
}

/// The kind of input of an [`Op`], unless another one is more urgent: a session that waits
/// for `initialize` mostly gets it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the selectors are raw bytes, and named after what they select")]
pub enum OpKind {
    /// Only time passes.
    Tick,
    /// A connection acknowledges events.
    Acknowledge { which: u8, through_selector: u8 },
    /// The client posts requests.
    Post { shape: u8, which: u8, size: u8, count: u8, fault: u8 },
    /// The backend answers a request.
    Answer { which: u8, how: u8, size: u8, fault: u8 },
    /// The backend sends a notification.
    Notify { what: u8, which: u8, size: u8, related: u8, fault: u8 },
    /// A connection that the session closed is reported as closed.
    ReportClosed { which: u8, through_selector: u8 },
    /// A connection is dropped.
    DropConnection { which: u8, through_selector: u8 },
    /// The client sends a GET.
    Get { how: u8, which: u8, index: u8, fault: u8 },
    /// The client posts messages without a request.
    PostMessages { what: u8, which: u8, size: u8, count: u8, fault: u8 },
    /// The backend sends a request.
    ServerRequest { which: u8, size: u8, related: u8, fault: u8 },
    /// The backend cancels a server request.
    CancelServerRequest { which: u8, fault: u8 },
    /// The driver abandons a stream.
    Abandon { which: u8, fault: u8 },
    /// The backend disconnects a stream.
    Disconnect { which: u8, retry: u8, fault: u8 },
    /// The backend exits, and the session lives on, if `confirm` is low.
    LoseBackend { confirm: u8 },
    /// Closes the session, if `confirm` is low.
    CloseSession { how: u8, confirm: u8 },
    /// The driver limits the kept bytes, or no longer.
    LimitBytes { how: u8, size: u8 },
    /// The driver drains the session, if `confirm` is low.
    Drain { retry: u8, confirm: u8 },
}

impl Op {
    /// Decodes an op. Zeros make the simplest one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; OP_BYTES]) -> Self {
        let [selector, wait, chance, rest @ ..] = bytes;
        let [which, one, two, three, four] = rest;
        let kind = match selector {
            0..=7 => OpKind::Tick,
            8..=11 => OpKind::LimitBytes { how: which, size: one },
            12..=63 => OpKind::Acknowledge { which, through_selector: one },
            64..=101 => OpKind::Post { which, shape: one, size: two, count: three, fault: four },
            102..=136 => OpKind::Answer { which, how: one, size: two, fault: three },
            137..=168 => {
                OpKind::Notify { which, what: one, size: two, related: three, fault: four }
            }
            169..=190 => OpKind::ReportClosed { which, through_selector: one },
            191..=200 => OpKind::DropConnection { which, through_selector: one },
            201..=217 => OpKind::Get { which, how: one, index: two, fault: three },
            218..=229 => {
                OpKind::PostMessages { which, what: one, size: two, count: three, fault: four }
            }
            230..=241 => OpKind::ServerRequest { which, size: one, related: two, fault: three },
            242..=243 => OpKind::CancelServerRequest { which, fault: one },
            244..=249 => OpKind::Abandon { which, fault: one },
            250..=252 => OpKind::Disconnect { which, retry: one, fault: two },
            253 => OpKind::LoseBackend { confirm: one },
            254 => OpKind::Drain { retry: which, confirm: one },
            255 => OpKind::CloseSession { how: which, confirm: one },
        };
        Self { wait, chance, kind }
    }
}
