//! Slow readers, which get every event, and stopped readers, which only delay their own sender.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use rejoin_test_support::{Client, LATEST_REVISION, Program, script};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

/// More events than the kernel buffers and a session hold together.
const EVENTS: usize = 40_000;

/// How long a reader is slow, before it reads at full speed.
const SLOW_TIME: Duration = Duration::from_secs(5);

/// A server that sends progress of a `count` call in the background, and answers other calls.
const FLOOD: &str = r#"
flood() {
    count=0
    while [ $count -lt $1 ]; do
        count=$((count + 1))
        printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%s,"message":"some text that makes the event a little longer"}}\n' $2 $count
    done
    printf '{"jsonrpc":"2.0","id":%s,"result":{}}\n' $2
}
while receive; do
    case $line in
    *'"count"'*) flood 40000 $id & ;;
    *) respond '{}' ;;
    esac
done"#;

/// A server that sends more than a connection and the kernel buffers hold, answers, and exits.
const ANSWERS_AND_EXITS: &str = r#"
receive
count=0
while [ $count -lt 40000 ]; do
    count=$((count + 1))
    printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%s,"message":"some text that makes the event a little longer"}}\n' $id $count
done
respond '{}'"#;

/// A server that sends one progress notification of 12 MB, and answers.
const LARGE: &str = r#"
receive
printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1,"message":"' $id
head -c 12000000 /dev/zero | tr '\0' y
printf '"}}\n'
respond '{}'
receive"#;

/// A server that sends 150 progress notifications per call, for all calls concurrently. The lines
/// are short enough for atomic writes to a pipe.
const FLOODS_TOGETHER: &str = r#"
text=$(head -c 3000 /dev/zero | tr '\0' y)
report() {
    count=0
    while [ $count -lt 150 ]; do
        count=$((count + 1))
        printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%s,"message":"%s"}}\n' $1 $count $text
    done
    printf '{"jsonrpc":"2.0","id":%s,"result":{}}\n' $1
}
while receive; do
    report $id &
done"#;

/// A call whose response is read from the raw socket.
pub(crate) struct Call(TcpStream);

impl Call {
    pub(crate) fn send(client: &Client, address: &str, id: i64) -> Self {
        let params = json!({
            "name": "count", "arguments": { "total": EVENTS, "interval_ms": 0 },
            "_meta": { "progressToken": id },
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        let body = message.to_string();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n\
             Mcp-Session-Id: {}\r\nMcp-Protocol-Version: {LATEST_REVISION}\r\nContent-Length: {}\r\n\r\n{body}",
            client.session(),
            body.len(),
        )
        .unwrap();
        Self(stream)
    }

    /// Reads at a limited rate for [`SLOW_TIME`], and then the rest at full speed. Returns the
    /// number of progress notifications, and checks that they are in order.
    fn read(self, bytes_a_second: u32) -> usize {
        self.read_slowly_for(SLOW_TIME, bytes_a_second)
    }

    fn read_slowly_for(mut self, slow_time: Duration, bytes_a_second: u32) -> usize {
        let began = Instant::now();
        let step = usize::try_from(bytes_a_second / 50).unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; step.max(1 << 16)]);
        loop {
            let is_slow = began.elapsed() < slow_time;
            let most = if is_slow { step } else { buffer.len() };
            let count = self.0.read(&mut buffer[..most]).unwrap();
            if count == 0 {
                return progress(&body(&all));
            }
            all.extend_from_slice(&buffer[..count]);
            if is_slow {
                let due =
                    Duration::from_secs(1) * u32::try_from(all.len()).unwrap() / bytes_a_second;
                sleep(due.saturating_sub(began.elapsed()).min(slow_time));
            }
        }
    }
}

/// Decodes the chunked body of a response.
fn body(response: &[u8]) -> String {
    let text = std::str::from_utf8(response).unwrap();
    let (_, mut rest) = text.split_once("\r\n\r\n").unwrap();
    let mut body = String::new();
    loop {
        let (size, chunk) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(&chunk[..size]);
        rest = &chunk[size + 2..];
    }
}

/// Counts the progress notifications, and checks that they are numbered consecutively.
fn progress(body: &str) -> usize {
    assert!(!body.contains(": gap"), "events are missing");
    let events = body.split("\n\n").filter_map(|event| event.split_once("data: "));
    let messages = events.filter_map(|(_, data)| serde_json::from_str::<Value>(data).ok());
    let reports: Vec<_> =
        messages.filter_map(|message| message["params"]["progress"].as_f64()).collect();
    let is_response = |event: &str| event.contains(r#""result""#);
    assert!(
        body.trim_end().rsplit("\n\n").next().is_some_and(is_response),
        "the response is missing"
    );
    for (nth, report) in (1_u32..).zip(&reports) {
        assert!((report - f64::from(nth)).abs() < 0.5, "got {report} instead of {nth}");
    }
    reports.len()
}

/// Floods readers of several speeds concurrently, each in its own session.
async fn flood_slow_readers(address: &str) {
    let mut readers = Vec::new();
    for bytes_a_second in [20_000, 50_000, 400_000, 1_000_000] {
        let client = Client::initialize(address).await;
        let address = address.to_owned();
        readers.push((
            bytes_a_second,
            spawn_blocking(move || Call::send(&client, &address, 1).read(bytes_a_second)),
        ));
    }
    for (bytes_a_second, reader) in readers {
        assert_eq!(reader.await.unwrap(), EVENTS, "at {bytes_a_second} bytes a second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_misses_nothing() {
    flood_slow_readers(&Program::serve(&[]).address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_of_a_command_misses_nothing() {
    flood_slow_readers(&script::serve(&[], FLOOD).address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_survives_the_exit_of_its_server() {
    let program = script::serve(&[], ANSWERS_AND_EXITS);
    let client = Client::initialize(&program.address).await;
    let call = Call::send(&client, &program.address, 1);
    // `read` checks that the last event is the response.
    let reports = spawn_blocking(move || call.read(400_000)).await.unwrap();
    assert_eq!(reports, EVENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_of_a_large_event_is_not_disconnected() {
    let program =
        script::serve(&["--stall-timeout-max", "1s", "--stall-disconnect-timeout", "2s"], LARGE);
    let client = Client::initialize(&program.address).await;
    let call = Call::send(&client, &program.address, 1);
    assert_eq!(spawn_blocking(move || call.read(1_000_000)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_readers_of_one_session_miss_nothing() {
    // Each stream sends less than half of its log limit, and all together 16 MB.
    let limits = ["--max-session-bytes", "2MiB", "--hold-timeout", "10s"];
    let program = script::serve(&limits, FLOODS_TOGETHER);
    let client = Client::initialize(&program.address).await;
    let calls: Vec<_> = (1..=33).map(|id| Call::send(&client, &program.address, id)).collect();
    let slow_time = Duration::from_secs(1);
    let read = |call: Call| spawn_blocking(move || call.read_slowly_for(slow_time, 20_000));
    for reader in calls.into_iter().map(read).collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap(), 150);
    }
}

/// Measures the duration of an echo call.
async fn time_of_echo(client: &Client, id: i64) -> Duration {
    let sent = Instant::now();
    let response = client.call(id, "echo", json!({ "message": "" })).await.response().await;
    assert!(response["result"].is_object(), "{response}");
    sent.elapsed()
}

/// Returns by how much a stopped reader delays the other calls of its session in total, compared
/// with the same calls of another session.
async fn delay_by_a_stopped_reader(address: &str, calls: std::ops::Range<i64>) -> Duration {
    let client = Client::initialize(address).await;
    let control = Client::initialize(address).await;
    let stopped = Call::send(&client, address, 1);
    let began = Instant::now();
    let mut delay = Duration::ZERO;
    // Until its sender is no longer held.
    for id in calls {
        let normal = time_of_echo(&control, id).await.max(QUICK);
        delay += time_of_echo(&client, id).await.saturating_sub(normal);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(3));
    drop(stopped);
    delay
}

/// Duration of a call that counts as normal on a busy machine.
const QUICK: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn stopped_reader_does_not_delay_other_calls() {
    let program = Program::serve(&[]);
    let delay = delay_by_a_stopped_reader(&program.address, 2..40).await;
    assert!(delay < Duration::from_millis(500), "{delay:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_reader_of_a_command_delays_other_calls_for_a_second_at_most() {
    let program = script::serve(&[], FLOOD);
    let delay = delay_by_a_stopped_reader(&program.address, 2..40).await;
    assert!(delay < Duration::from_millis(1_500), "{delay:?}");
}
