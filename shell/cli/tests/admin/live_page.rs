//! The live page: its headers, the list of sessions, and the timeline of one.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin_test_support::{Client, HttpResponse, script};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::Served;

/// Maximum time for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

impl Served {
    /// Opens a stream of the page.
    async fn live(&self, path: &str) -> HttpResponse {
        let client = Client::new(&self.admin).with_path(path);
        let stream = client.send(Method::GET, String::new(), &[("host", &self.admin)]).await;
        assert_eq!(stream.status, StatusCode::OK, "{path}");
        assert!(stream.is_event_stream());
        stream
    }

    /// Waits until the list shows something of its only session.
    async fn wait(&self, is_shown: impl Fn(&Value) -> bool) {
        let mut list = Events::of(self.live("/live/sessions").await);
        let shown = async { while !is_shown(&list.next().await.unwrap().1["sessions"][0]) {} };
        timeout(PATIENCE, shown).await.unwrap();
    }

    async fn short_id(&self) -> String {
        let list = self.get("/sessions").await.json().await;
        list["sessions"][0]["session"].as_str().unwrap().to_owned()
    }
}

/// The events of a stream of the page, which have no ids.
struct Events {
    stream: HttpResponse,
    text: String,
}

impl Events {
    fn of(stream: HttpResponse) -> Self {
        Self { stream, text: String::new() }
    }

    /// Waits for the next event; `None` is the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let Some(event) = event.strip_prefix("event: ") else { continue };
                let (name, data) = event.split_once("\ndata: ").unwrap();
                return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            let chunk = timeout(PATIENCE, self.stream.chunk()).await.unwrap().unwrap()?;
            self.text.push_str(str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits for a mark of a kind. Returns it, with those before it.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut marks = Vec::new();
        loop {
            let (name, data) = self.next().await.unwrap();
            assert_eq!(name, "marks", "no {kind} in {marks:#?}");
            marks.extend(data.as_array().unwrap().iter().cloned());
            if marks.iter().any(|mark| mark["kind"] == kind) {
                return marks;
            }
        }
    }
}

fn kinds(marks: &[Value]) -> Vec<&str> {
    marks.iter().map(|mark| mark["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_page_may_run_its_script_and_nothing_else() {
    let served = Served::start(&[]);
    let page = served.get("/").await;
    let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    for directive in [
        "default-src 'none'",
        "script-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive), "{directive}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
    let public = Client::new(&served.program.address).with_path("/").get(None).await;
    assert_eq!(public.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn other_web_pages_cannot_read_the_page_or_its_data() {
    let served = Served::start(&[]);
    for path in ["/", "/live/sessions", "/live/sessions/0123456789abcdef"] {
        let refused = served.admin(Method::GET, path, "evil.example").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        let client = Client::new(&served.admin).with_path(path);
        let refused =
            client.send(Method::GET, String::new(), &[("sec-fetch-site", "cross-site")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_timeline_says_why_a_client_got_what_it_got() {
    let served = Served::start(&["--max-stream-events", "4"]);
    let client = Client::initialize(&served.program.address).await;
    let path = format!("/live/sessions/{}", served.short_id().await);
    let mut events = Events::of(served.live(&path).await);
    let (name, start) = events.next().await.unwrap();
    assert_eq!(name, "start");
    assert!(start["facts"]["client"].as_str().unwrap().starts_with("test"), "{start}");
    assert_eq!(kinds(start["marks"].as_array().unwrap()), ["opened"]);
    assert!(!start.to_string().contains(client.session()), "the id of a session is a secret");

    let arguments = json!({ "total": 12, "interval_ms": 40 });
    let mut call = client.call(1, "count", arguments).await;
    let first = call.message().await.unwrap().id().unwrap();
    drop(call);
    let marks = events.until("ended").await;
    let began = &marks[0];
    assert_eq!((&began["kind"], &began["row"]), (&json!("began"), &json!("0")));
    assert_eq!(began["name"], "tools/call count");
    assert!(kinds(&marks).contains(&"lost"), "{marks:#?}");
    assert!(marks.iter().any(|mark| mark["kind"] == "kept" && mark["event"] == 13), "{marks:#?}");

    let mut resumed = client.get(Some(&first)).await;
    resumed.response().await;
    let marks = events.until("ends").await;
    assert_eq!(kinds(&marks)[..2], ["resumed", "gap"]);
    assert_eq!(marks[0]["after"], 1);
    assert_eq!(marks[1]["first"], 2);
    let replayed = marks.iter().filter(|mark| mark["kind"] == "sent").count();
    assert_eq!(marks[0]["replayed"], replayed);

    assert!(client.delete().await.status.is_success());
    let marks = events.until("closed").await;
    assert_eq!(marks.last().unwrap()["reason"], "the client ended it");
    assert_eq!(events.next().await.unwrap().0, "end");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_timeout_of_rejoin_is_no_answer_of_the_server() {
    let served = Served::start(&["--request-timeout", "200ms"]);
    let client = Client::initialize(&served.program.address).await;
    let path = format!("/live/sessions/{}", served.short_id().await);
    let mut events = Events::of(served.live(&path).await);
    assert_eq!(events.next().await.unwrap().0, "start");
    let arguments = json!({ "total": 1_000, "interval_ms": 50 });
    let mut call = client.call(1, "count", arguments).await;
    let error = call.response().await;
    assert!(error["error"]["message"].as_str().unwrap().contains("within 200ms"), "{error}");
    let marks = events.until("ended").await;
    let of_kind = |kind: &str| marks.iter().find(|mark| mark["kind"] == kind);
    let timed_out = of_kind("timed-out").unwrap_or_else(|| panic!("{marks:#?}"));
    assert_eq!((&timed_out["row"], &timed_out["request"]), (&json!("0"), &json!("1")));
    assert_eq!(of_kind("ended").unwrap()["outcome"], "timed-out");
    let failure = |mark: &&Value| mark["kind"] == "sent" && mark["class"] == "failure";
    assert_eq!(marks.iter().filter(failure).count(), 1, "{marks:#?}");
    assert!(!marks.iter().any(|mark| mark["class"] == "response"), "{marks:#?}");
}

#[tokio::test]
async fn a_timeout_that_a_client_learns_later_is_no_answer_of_the_server() {
    let served = Served::start(&["--request-timeout", "300ms"]);
    let client = Client::initialize(&served.program.address).await;
    let path = format!("/live/sessions/{}", served.short_id().await);
    let mut events = Events::of(served.live(&path).await);
    assert_eq!(events.next().await.unwrap().0, "start");
    let mut call = client.call(1, "count", json!({ "total": 1_000, "interval_ms": 50 })).await;
    let first = call.message().await.unwrap().id().unwrap();
    drop(call);
    let marks = events.until("ended").await;
    let kept = marks.iter().rfind(|mark| mark["kind"] == "kept").unwrap();
    assert_eq!(kept["class"], "failure", "{marks:#?}");
    client.get(Some(&first)).await.response().await;
    let marks = events.until("ends").await;
    let sent = marks.iter().rfind(|mark| mark["kind"] == "sent").unwrap();
    assert_eq!((&sent["event"], &sent["class"]), (&kept["event"], &json!("failure")), "{marks:#?}");
}

#[tokio::test]
async fn a_page_that_is_opened_after_a_timeout_knows_it() {
    let served = Served::start(&["--request-timeout", "300ms"]);
    let client = Client::initialize(&served.program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1_000, "interval_ms": 50 })).await;
    let first = call.message().await.unwrap().id().unwrap();
    drop(call);
    served.wait(|session| session["lost"] == 1 && session["pending_requests"] == 0).await;
    let path = format!("/live/sessions/{}", served.short_id().await);
    let mut events = Events::of(served.live(&path).await);
    let (_, start) = events.next().await.unwrap();
    assert_eq!(kinds(start["marks"].as_array().unwrap()), ["opened", "lost", "timed-out"]);
    client.get(Some(&first)).await.response().await;
    let marks = events.until("ends").await;
    let sent: Vec<&Value> = marks.iter().filter(|mark| mark["kind"] == "sent").collect();
    let (last, others) = sent.split_last().unwrap();
    assert_eq!(last["class"], "failure", "{marks:#?}");
    assert!(others.iter().all(|mark| mark["class"] != "failure"), "{marks:#?}");
}

#[tokio::test]
async fn the_end_of_a_process_is_a_mark() {
    let script = script::with_prelude("receive; exit 3");
    let served = Served::start(&["--retention", "1s", "--", "/bin/sh", "-c", &script]);
    let client = Client::initialize(&served.program.address).await;
    let path = format!("/live/sessions/{}", served.short_id().await);
    let mut events = Events::of(served.live(&path).await);
    assert_eq!(events.next().await.unwrap().0, "start");
    client.call(1, "any", json!({})).await.response().await;
    let marks = events.until("closed").await;
    let ended = kinds(&marks).iter().filter(|kind| **kind == "process-ended").count();
    assert_eq!(ended, 1, "{marks:#?}");
    assert_eq!(marks.last().unwrap()["reason"], "the server has ended");
}

#[tokio::test]
async fn a_page_that_is_opened_later_knows_what_went_wrong_before() {
    let served = Served::start(&["--max-stream-events", "4"]);
    let client = Client::initialize(&served.program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 12, "interval_ms": 40 })).await;
    let first = call.message().await.unwrap().id().unwrap();
    drop(call);
    // All events are recorded once the request is not pending any more.
    served.wait(|session| session["lost"] == 1 && session["pending_requests"] == 0).await;
    client.get(Some(&first)).await.response().await;
    let mut waiting = client.call(2, "count", json!({ "total": 1_000, "interval_ms": 50 })).await;
    assert!(waiting.message().await.is_some());
    let path = format!("/live/sessions/{}", served.short_id().await);
    let (_, start) = Events::of(served.live(&path).await).next().await.unwrap();
    let marks = start["marks"].as_array().unwrap();
    assert_eq!(kinds(marks), ["opened", "lost", "resumed", "gap"]);
    assert!(marks.is_sorted_by_key(|mark| mark["at"].as_f64().unwrap()));
    let streams = start["state"]["streams"].as_array().unwrap();
    let stream = streams.iter().find(|stream| stream["row"] == "1").unwrap();
    assert!(stream["last"].as_u64() >= Some(1), "{stream}");
    assert_eq!(stream["pending"], 1);
    let request = &start["state"]["requests"][0];
    assert_eq!((&request["request"], &request["name"]), (&json!("2"), &json!("tools/call count")));
    let expected = |session: &Value| {
        session["lost"] == 1 && session["resumed"] == 1 && session["missed"].as_u64() > Some(0)
    };
    served.wait(expected).await;
}

#[tokio::test]
async fn the_list_is_sent_again_when_it_has_changed() {
    let served = Served::start(&[]);
    let mut list = Events::of(served.live("/live/sessions?sort=newest&limit=1").await);
    assert_eq!(list.next().await.unwrap().1["count"], 0);
    let first = Client::initialize(&served.program.address).await;
    let (_, one) = list.next().await.unwrap();
    assert_eq!((&one["count"], one["sessions"].as_array().unwrap().len()), (&json!(1), 1));
    Client::initialize(&served.program.address).await;
    let (_, two) = list.next().await.unwrap();
    assert_eq!((&two["count"], two["sessions"].as_array().unwrap().len()), (&json!(2), 1));
    assert_ne!(one["sessions"][0]["session"], two["sessions"][0]["session"]);
    assert!(!two.to_string().contains(first.session()));
    let mut none = Events::of(served.live("/live/sessions?query=nothing%20like%20it").await);
    let (_, none) = none.next().await.unwrap();
    assert_eq!((&none["count"], &none["matching"]), (&json!(2), &json!(0)));
    let invalid = served.get("/live/sessions?sort=luck").await;
    assert_eq!(invalid.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn sessions_that_are_equal_otherwise_are_listed_by_age() {
    let served = Served::start(&[]);
    for _ in 0..16 {
        Client::initialize(&served.program.address).await;
    }
    let ids = |list: &Value| -> Vec<String> {
        let sessions = list["sessions"].as_array().unwrap().iter();
        sessions.map(|session| session["session"].as_str().unwrap().to_owned()).collect()
    };
    let oldest = ids(&served.get("/sessions").await.json().await);
    assert_eq!(oldest.len(), 16);
    let newest: Vec<String> = oldest.iter().rev().cloned().collect();
    for (sort, expected) in [
        ("attention", &newest),
        ("newest", &newest),
        ("oldest", &oldest),
        ("pending", &newest),
        ("kept", &newest),
    ] {
        let list = served.live(&format!("/live/sessions?sort={sort}")).await;
        let (_, list) = Events::of(list).next().await.unwrap();
        assert_eq!(&ids(&list), expected, "{sort}");
    }
}

#[tokio::test]
async fn an_unknown_session_is_refused_in_words() {
    let served = Served::start(&[]);
    let mut events = Events::of(served.live("/live/sessions/0123456789abcdef").await);
    let (name, refused) = events.next().await.unwrap();
    assert_eq!(name, "refused");
    assert_eq!(refused["reason"], "There is no such session, or it has ended.");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn the_number_of_viewers_is_limited() {
    let served = Served::start(&[]);
    let mut viewers = Vec::new();
    for _ in 0..32 {
        viewers.push(served.live("/live/sessions").await);
    }
    let mut another = Events::of(served.live("/live/sessions").await);
    let (name, refused) = another.next().await.unwrap();
    assert_eq!(name, "refused");
    assert_eq!(refused["reason"], "32 others look at this page already.");
    assert!(another.next().await.is_none());
    viewers.pop();
    // The program notices the end of the connection by itself.
    let accepted = async {
        loop {
            let mut another = Events::of(served.live("/live/sessions").await);
            if another.next().await.unwrap().0 == "sessions" {
                return;
            }
        }
    };
    timeout(PATIENCE, accepted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sessions_are_listed_in_parts() {
    let served = Served::start(&["--max-sessions", "10000", "--unused-timeout", "never"]);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let address = served.program.address.clone();
        clients.spawn(async move {
            for _ in 0..1_250 {
                Client::initialize(&address).await;
            }
        });
    }
    clients.join_all().await;
    let started = Instant::now();
    let stream = served.live("/live/sessions?query=TEST&offset=9990&limit=50").await;
    let (_, list) = Events::of(stream).next().await.unwrap();
    let took = started.elapsed();
    assert_eq!((&list["count"], &list["matching"]), (&json!(10_000), &json!(10_000)));
    assert_eq!(list["sessions"].as_array().unwrap().len(), 10);
    assert!(list.to_string().len() < 20_000);
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("the list of 10,000 sessions took {took:?}");
}
