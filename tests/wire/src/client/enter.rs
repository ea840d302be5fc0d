//! Entering: a client asks for a session.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use rejoin_tests::world::Chance;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Guest;
use super::send::request;
use crate::exchange::{Broken, Exchange};
use crate::knobs::Kind;
use crate::message::{Stamp, failure_of};
use crate::sse::{Item, Reader};
use crate::visit::Visit;
use crate::world::World;

/// The revisions that clients ask for, the newest more often.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-11-25", "2025-06-18", "2025-03-26"];

/// Asks for a session. `None` if there is none.
pub(super) async fn enter(
    world: &Arc<World>,
    name: String,
    luck: &mut Chance,
) -> Option<Arc<Visit>> {
    let version = luck.pick(&VERSIONS)?;
    let (began, is_due) = (Instant::now(), world.is_healed());
    let body = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "arguments": { "calm": is_due },
            "protocolVersion": version,
            "capabilities": { "sampling": {}, "elicitation": {} },
            // A backend that is a process has its luck from here.
            "clientInfo": { "name": name, "version": world.knobs.world.seed.to_string() },
        },
    });
    let request = request(Method::POST).body(Full::new(Bytes::from(body.to_string()))).ok()?;
    let fate = world.fate(luck);
    let mut exchange = match Exchange::begin(world, fate, request).await {
        Ok(exchange) => exchange,
        Err(broken) => {
            hear_of(world, broken);
            world.count("sessions: not entered");
            return None;
        }
    };
    let session = exchange.headers().get("mcp-session-id").cloned();
    let session = session.and_then(|id| id.to_str().ok().map(str::to_owned));
    let Some(answer) = answer(world, &mut exchange).await else {
        world.count("sessions: not entered");
        return None;
    };
    let is_stamped = world.knobs.kind != Kind::Demo;
    let welcome = Welcome { name: &name, version, session: session.as_deref(), is_due, is_stamped };
    if let Err(wrong) = welcome.check(exchange.status(), &answer) {
        world.blame(None, format!("{name} asks for {version}: {wrong}: {answer}"));
        return None;
    }
    let Some(session) = session else {
        world.count("sessions: not entered");
        return None;
    };
    let visit = Visit::new(name, session, version.to_owned(), began);
    world.enter(&visit);
    world.count("sessions");
    let guest = Guest { world: Arc::clone(world), visit: Arc::clone(&visit), no: 0 };
    guest.tell(luck, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    Some(visit)
}

/// How a client is let in.
#[derive(Clone, Copy, Debug)]
struct Welcome<'a> {
    /// What it calls itself.
    name: &'a str,
    /// The revision that it asked for, which every backend speaks.
    version: &'a str,
    /// The session that it was given.
    session: Option<&'a str>,
    /// Whether nothing went wrong any more when it asked.
    is_due: bool,
    /// Whether backends say whose their messages are.
    is_stamped: bool,
}

impl Welcome<'_> {
    /// Checks that an answer goes with it.
    fn check(&self, status: StatusCode, answer: &Value) -> Result<(), &'static str> {
        if status != StatusCode::OK {
            return Err("this is no status of an answer");
        }
        if answer.get("id") != Some(&json!(0)) {
            return Err("another request is answered");
        }
        let stamp = Stamp::of(answer);
        let is_own = stamp.is_some_and(|it| it.visit == self.name && it.serial == 0);
        match (answer.get("result"), self.session) {
            (Some(_), None) => Err("it is let in, and not told where"),
            (None, Some(_)) => Err("it is refused, and has a session"),
            (None, None) if self.is_due => Err("it is refused, and nothing went wrong"),
            (None, None) if is_own || failure_of(answer).is_some() => Ok(()),
            (None, None) => Err("it is refused for no reason"),
            (Some(_), Some(_)) if self.is_stamped && !is_own => Err("another one is let in"),
            (Some(result), Some(_))
                if result.get("protocolVersion") != Some(&json!(self.version)) =>
            {
                Err("it is to speak another revision")
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

/// Hears that a connection broke.
fn hear_of(world: &World, broken: Broken) {
    if let Some(wrong) = broken.wrong() {
        world.blame(None, format!("whoever enters: {wrong}"));
    }
}

/// Returns the answer, if all of it comes.
async fn answer(world: &World, exchange: &mut Exchange) -> Option<Value> {
    let whole = exchange.whole(world.knobs.head_max()).await;
    let whole = whole.inspect_err(|broken| hear_of(world, *broken)).ok()?;
    if !exchange.is_stream() {
        return serde_json::from_slice(&whole).ok();
    }
    let mut reader = Reader::default();
    reader.push(&whole);
    match reader.next() {
        Ok(Some(Item::Message { id: None, data })) => serde_json::from_slice(&data).ok(),
        Ok(_) => None,
        Err(wrong) => {
            world.blame(None, wrong);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = r#""stamp": {"visit": "1/0", "serial": 0}"#;

    fn check(welcome: Welcome<'_>, answer: &str) -> Result<(), &'static str> {
        let answer = answer.replace("STAMP", STAMP);
        welcome.check(StatusCode::OK, &serde_json::from_str(&answer).unwrap())
    }

    #[test]
    fn who_is_let_in_is_told_all_that_is_needed() {
        let inside = Welcome {
            name: "1/0",
            version: "2025-11-25",
            session: Some("s"),
            is_due: true,
            is_stamped: true,
        };
        let fine = r#"{"id": 0, "result": {"protocolVersion": "2025-11-25", STAMP}}"#;
        assert_eq!(check(inside, fine), Ok(()));
        assert!(check(Welcome { session: None, ..inside }, fine).is_err());
        assert!(check(Welcome { name: "1/1", ..inside }, fine).is_err());
        assert!(check(Welcome { version: "2025-06-18", ..inside }, fine).is_err());
        for wrong in [
            r#"{"id": 1, "result": {"protocolVersion": "2025-11-25", STAMP}}"#,
            r#"{"id": 0, "result": {STAMP}}"#,
            r#"{"id": 0, "result": {"protocolVersion": "2025-11-25"}}"#,
            r#"{"id": 0, "error": {"code": 1, "message": "it failed", "data": {STAMP}}}"#,
        ] {
            assert!(check(inside, wrong).is_err(), "{wrong}");
        }
        let answer = serde_json::from_str(&fine.replace("STAMP", STAMP)).unwrap();
        assert!(inside.check(StatusCode::ACCEPTED, &answer).is_err());
    }

    #[test]
    fn who_is_refused_is_told_why_and_has_no_session() {
        let outside = Welcome {
            name: "1/0",
            version: "2025-11-25",
            session: None,
            is_due: false,
            is_stamped: true,
        };
        for fine in [
            r#"{"id": 0, "error": {"code": 1, "message": "it failed", "data": {STAMP}}}"#,
            r#"{"id": 0, "error": {"code": -32603, "message": "the session was closed"}}"#,
        ] {
            assert_eq!(check(outside, fine), Ok(()));
            assert!(check(Welcome { session: Some("s"), ..outside }, fine).is_err());
            assert!(check(Welcome { is_due: true, ..outside }, fine).is_err());
        }
        let odd = r#"{"id": 0, "error": {"code": 7, "message": "no"}}"#;
        assert!(check(outside, odd).is_err());
    }
}
