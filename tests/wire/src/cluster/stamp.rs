//! What the server and its clients write in messages to know them again.

use std::time::Duration;

use serde_json::{Value, json};

/// Beginning of the line of a call that was executed.
pub(super) const EXECUTED: &str = "executed";
/// Beginning of the line of an answer that was received.
pub(super) const RECEIVED: &str = "received";

/// Which message of which server this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The name that the client has given its session.
    pub(super) session: String,
    /// The name of the call; empty on the standalone stream.
    pub(super) call: String,
    /// The process that has sent it.
    pub(super) instance: String,
    /// Its number, among the messages of the call or those on the standalone stream of the process.
    pub(super) serial: u64,
}

/// What a call does.
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    pub(super) call: String,
    /// Number of progress notifications.
    pub(super) steps: u64,
    /// Time between them.
    pub(super) interval: Duration,
    /// Whether it sends messages on the standalone stream.
    pub(super) announces: bool,
    /// Whether it asks the client something.
    pub(super) asks: bool,
}

impl Stamp {
    pub(super) fn to_json(&self) -> Value {
        let Self { session, call, instance, serial } = self;
        json!({ "session": session, "call": call, "instance": instance, "serial": serial })
    }

    /// Reads the stamp of a message.
    pub(super) fn of(message: &Value) -> Option<Self> {
        let places = ["/params/stamp", "/params/data", "/result/stamp"];
        let stamp = places.iter().find_map(|place| message.pointer(place))?;
        let text = |name| stamp.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            session: text("session")?,
            call: text("call")?,
            instance: text("instance")?,
            serial: stamp.get("serial")?.as_u64()?,
        })
    }
}

impl Arguments {
    pub(super) fn to_json(&self) -> Value {
        let Self { call, steps, interval, announces, asks } = self;
        let millis = u64::try_from(interval.as_millis()).unwrap_or_default();
        json!({
            "call": call, "steps": steps, "interval": millis, "announces": announces, "asks": asks,
        })
    }

    pub(super) fn of(arguments: &Value) -> Option<Self> {
        Some(Self {
            call: arguments.get("call")?.as_str()?.to_owned(),
            steps: arguments.get("steps")?.as_u64()?,
            interval: Duration::from_millis(arguments.get("interval")?.as_u64()?),
            announces: arguments.get("announces")?.as_bool()?,
            asks: arguments.get("asks")?.as_bool()?,
        })
    }
}
