//! The timeline of one session on the live page: its state, and then its marks as they happen.

use std::time::Duration;

use rejoin::{Principal, SessionWatch, WatchEnd, rejoin_core::ProtocolVersion};
use serde_json::{Value, json};

use super::{
    history::Histories,
    live::{Events, Gone, KEEP_ALIVE},
    sessions::{self, Listed},
};
use crate::{
    serve::Servers,
    timeline::{Mark, Row, Timeline, What},
};

/// How long marks are collected before they are sent together.
const INTERVAL: Duration = Duration::from_millis(100);

/// Sends the timeline of the session with a short id, until it ends.
pub(super) async fn send(
    events: Events,
    servers: Servers,
    histories: Histories,
    short: String,
) -> Result<(), Gone> {
    let mut is_missing = false;
    loop {
        let Some(found) = sessions::find(&servers, &short) else {
            let reason = "There is no such session, or it has ended.";
            return events.send("refused", &json!({ "reason": reason })).await;
        };
        let (start, mut watch) = match found.session.watch() {
            Ok(watched) => watched,
            Err(error) => {
                let reason = format!("This session cannot be shown: {error}.");
                return events.send("refused", &json!({ "reason": reason })).await;
            }
        };
        let (mut timeline, state) = Timeline::start(&start);
        let age = start.stats.age;
        let mut marks = histories.marks(found.session.id(), age);
        if is_missing {
            marks.push(Mark::new(age, Row::Session, What::Missing));
        }
        let at = age.as_secs_f64() * 1e3;
        let first =
            json!({ "facts": facts(&found.listed), "state": state, "at": at, "marks": marks });
        events.send("start", &first).await?;
        drop(found);
        match follow(&events, &mut watch, &mut timeline).await? {
            WatchEnd::TooSlow => is_missing = true,
            WatchEnd::Closed | _ => return events.send("end", &Value::Null).await,
        }
    }
}

async fn follow(
    events: &Events,
    watch: &mut SessionWatch,
    timeline: &mut Timeline,
) -> Result<WatchEnd, Gone> {
    loop {
        let steps = match tokio::time::timeout(KEEP_ALIVE, watch.next()).await {
            Ok(Ok(steps)) => steps,
            Ok(Err(end)) => return Ok(end),
            Err(_) => {
                events.keep_alive().await?;
                continue;
            }
        };
        let mut marks = Vec::new();
        for step in &steps {
            timeline.step(step, &mut marks);
        }
        if !marks.is_empty() {
            events.send("marks", &marks).await?;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn facts(listed: &Listed) -> Value {
    let Listed { server, id, principal, stats, .. } = listed;
    json!({
        "session": id.short().to_string(),
        "server": **server,
        "client": stats.client,
        "principal": principal.as_ref().map(Principal::subject),
        "revision": stats.revision.as_ref().map(ProtocolVersion::as_str),
        "process": stats.process,
    })
}
