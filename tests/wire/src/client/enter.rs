//! Entering: a client asks for a session.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use rejoin_tests::world::Chance;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Guest;
use super::send::request;
use crate::exchange::Exchange;
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
    let body = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": { "sampling": {}, "elicitation": {} },
            // A backend that is a process has its luck from here.
            "clientInfo": { "name": name, "version": world.knobs.world.seed.to_string() },
        },
    });
    let began = Instant::now();
    let request = request(Method::POST).body(Full::new(Bytes::from(body.to_string()))).ok()?;
    let fate = world.fate(luck);
    let Ok(mut exchange) = Exchange::begin(world, fate, request).await else {
        world.count("sessions: not entered");
        return None;
    };
    let session = exchange.headers().get("mcp-session-id").cloned();
    let answer = answer(world, &mut exchange).await;
    let (Some(session), Some(answer)) = (session, answer) else {
        world.count("sessions: not entered");
        return None;
    };
    let version = answer.pointer("/result/protocolVersion").and_then(Value::as_str);
    let version = version.unwrap_or(version_of_old()).to_owned();
    let visit = Visit::new(name, session.to_str().ok()?.to_owned(), version, began);
    world.enter(&visit);
    world.count("sessions");
    let guest = Guest { world: Arc::clone(world), visit: Arc::clone(&visit), no: 0 };
    guest.tell(luck, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    Some(visit)
}

/// What a server speaks that does not say.
fn version_of_old() -> &'static str {
    VERSIONS.last().copied().unwrap_or_default()
}

/// Returns the answer, if all of it comes.
async fn answer(world: &World, exchange: &mut Exchange) -> Option<Value> {
    let whole = exchange.whole(world.knobs.head_max()).await.ok()?;
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
