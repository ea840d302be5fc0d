//! A call of `count` whose client comes back until it has the response, and checks what it gets.

use std::{collections::HashSet, time::Duration};

use http::StatusCode;
use rejoin_test_support::{Client, HttpResponse, sse::Item};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// The call. No event of another call is sent to it, no id comes twice, and progress goes up.
pub(crate) struct Counting {
    client: Client,
    id: i64,
    response: Option<HttpResponse>,
    /// The id of the last event.
    pub(crate) last: String,
    /// The ids of all messages.
    pub(crate) ids: HashSet<String>,
    /// How far it has counted.
    pub(crate) progress: u64,
    /// Whether progress may be missing that the store has lost together with the owner.
    pub(crate) may_skip: bool,
    end: Option<Value>,
}

/// Why a call has no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// It was not executed, and can be made again.
    Refused,
    /// Whether it was executed is not known, because of this.
    Unknown(String),
    /// Its session does not exist.
    Gone,
}

/// Time between attempts of a client that is told to try again.
pub(crate) const RETRY: Duration = Duration::from_millis(50);

/// Maximum time for anything that a client waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Maximum time that a client waits for the head of a response: a node that is stopped accepts
/// connections. A node that is well waits less.
const HEAD_TIMEOUT: Duration = Duration::from_secs(12);

impl Counting {
    /// Calls, and reads the first event.
    pub(crate) async fn begin(client: &Client, id: i64, total: u64, interval: Duration) -> Self {
        match Self::try_begin(client, id, total, interval).await {
            Ok(call) => call,
            Err(refused) => panic!("{refused:?}"),
        }
    }

    /// The same, for a client that may be refused.
    pub(crate) async fn try_begin(
        client: &Client,
        id: i64,
        total: u64,
        interval: Duration,
    ) -> Result<Self, NotBegun> {
        let arguments = json!({ "total": total, "interval_ms": interval.as_millis() });
        let calling = client.call(id, "count", arguments);
        let unknown = |why: &str| NotBegun::Unknown(why.to_owned());
        let mut response =
            timeout(HEAD_TIMEOUT, calling).await.map_err(|_| unknown("no response"))?;
        match response.status {
            StatusCode::OK => {}
            StatusCode::BAD_GATEWAY => return Err(NotBegun::Unknown(response.text().await)),
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(response.headers.contains_key("retry-after"));
                return Err(NotBegun::Refused);
            }
            StatusCode::NOT_FOUND => return Err(NotBegun::Gone),
            other => panic!("a call was answered by {other}"),
        }
        let last = first_id(&mut response).await.ok_or_else(|| unknown("no id"))?;
        Ok(Self {
            client: client.clone(),
            id,
            response: Some(response),
            last,
            ids: HashSet::new(),
            progress: 0,
            may_skip: false,
            end: None,
        })
    }

    /// Reads until it has counted so far.
    pub(crate) async fn read_through(&mut self, progress: u64) {
        while self.progress < progress {
            assert!(self.read().await, "the response breaks at {}", self.progress);
        }
    }

    /// Reads what there is of a response that breaks.
    pub(crate) async fn read_rest(&mut self) {
        while self.read().await {}
    }

    /// Goes away.
    pub(crate) fn leave(&mut self) {
        self.response = None;
    }

    /// Uses another address from now on.
    pub(crate) fn go_to(&mut self, client: &Client) {
        self.client = client.clone();
    }

    /// Comes back as soon as it is served, and reads the first event. Returns the status, and how
    /// long it took.
    pub(crate) async fn resume(&mut self) -> (StatusCode, Duration) {
        let begun = Instant::now();
        let response = loop {
            assert!(begun.elapsed() < PATIENCE, "it is never served");
            let Ok(response) = timeout(HEAD_TIMEOUT, self.client.get(Some(&self.last))).await
            else {
                continue;
            };
            match response.status {
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert!(response.headers.contains_key("retry-after"));
                }
                // The node that the balancer has chosen died, or cannot reach the owner.
                StatusCode::BAD_GATEWAY => {}
                _ => break response,
            }
            sleep(RETRY).await;
        };
        let status = response.status;
        self.response = Some(response);
        if status == StatusCode::OK {
            self.read().await;
        }
        (status, begun.elapsed())
    }

    /// Reads and comes back until there is the response. Returns it.
    pub(crate) async fn finish(&mut self) -> Value {
        let finishing = async {
            loop {
                self.read_rest().await;
                if let Some(end) = &self.end {
                    return end.clone();
                }
                let (status, _) = self.resume().await;
                assert_eq!(status, StatusCode::OK, "{} at {}", self.client.session(), self.last);
            }
        };
        timeout(PATIENCE, finishing).await.expect("it ends")
    }

    /// Comes back after the end: there is nothing more.
    pub(crate) async fn check_nothing_follows(&mut self) {
        assert!(self.end.is_some());
        self.resume().await;
        self.read_rest().await;
    }

    /// Reads an event. Returns `false` at the end of the response.
    async fn read(&mut self) -> bool {
        let Some(response) = &mut self.response else { return false };
        if let Some(item) = response.next().await {
            self.check(&item);
            self.last = item.id().unwrap_or_else(|| std::mem::take(&mut self.last));
            return true;
        }
        self.response = None;
        false
    }

    fn check(&mut self, item: &Item) {
        if !item.is_message() {
            assert!(!matches!(item, Item::Gap(_)), "{item:?}");
            return;
        }
        assert!(self.end.is_none(), "{item:?} after the end");
        let id = item.id().expect("each event has an id");
        assert!(self.ids.insert(id), "an id comes twice: {item:?}");
        let message = item.json();
        if item.is_response() {
            assert_eq!(message["id"], self.id, "a response of another call");
            self.end = Some(message);
            return;
        }
        assert_eq!(message["params"]["progressToken"], self.id, "an event of another call");
        let progress = item.progress().expect("progress");
        let expected = self.progress + 1;
        assert!(progress == expected || self.may_skip && progress > expected, "{item:?}");
        self.progress = progress;
    }
}

/// Reads until there is an event with an id, which is the priming event. A message that comes before it
/// is an error without an id: what became of the call is not known.
async fn first_id(response: &mut HttpResponse) -> Option<String> {
    loop {
        let item = response.next().await?;
        if item.is_message() {
            assert!(item.id().is_none() && item.json().get("error").is_some(), "{item:?}");
            return None;
        }
        if !item.is_comment() {
            return item.id();
        }
    }
}
