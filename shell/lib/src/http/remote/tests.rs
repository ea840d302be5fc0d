//! Connections whose events are passed on, with links that the test reads and writes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rejoin_core::{
    AnswerFormat, EventId, StreamId,
    cluster::{EntryId, NodeId, StoreId},
};
use tokio::sync::watch;

use super::{
    super::session::AnyConnection,
    connection::{EndAtShutdown, Kind, RemoteConnection},
    owner::{Origin, send_events},
};
use crate::{
    Backend, ClientMessages, ClientSender, ManagerConfig, OpenError, SessionHandle, SessionManager,
    SseEvent,
    cluster::link::{OpenCall, Replies, Reply, Room},
    parse_message,
    session::MessagePart,
    store::{
        Entry, LastEntry, Lease, MemoryStore, Outcome, Store, StoreConfig, StoreFuture, StoreKey,
        Write,
    },
};

/// A store whose entries wait while it is closed.
#[derive(Clone)]
struct Gate {
    memory: MemoryStore,
    is_open: watch::Sender<bool>,
}

impl Store for Gate {
    fn connect(&self) -> StoreFuture<'_, StoreId> {
        self.memory.connect()
    }

    fn write(&self, write: Write) -> StoreFuture<'_, Outcome> {
        Box::pin(async move {
            if matches!(write, Write::Create { .. } | Write::Append { .. }) {
                self.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
            }
            self.memory.write(write).await
        })
    }

    fn last(&self, key: StoreKey) -> StoreFuture<'_, LastEntry> {
        self.memory.last(key)
    }

    fn read(
        &self,
        key: StoreKey,
        after: Option<EntryId>,
        entries_max: usize,
    ) -> StoreFuture<'_, Vec<Entry>> {
        self.memory.read(key, after, entries_max)
    }

    fn lease(&self, node: NodeId) -> StoreFuture<'_, Option<Lease>> {
        self.memory.lease(node)
    }
}

type Opened = Arc<Mutex<VecDeque<(ClientSender, ClientMessages)>>>;

struct StoringBackend(Opened);

impl Backend for StoringBackend {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        self.0.lock().push_back((client, messages));
        Ok(())
    }
}

/// A session, whose store the test opens and closes.
struct Owned {
    _sessions: SessionManager,
    session: SessionHandle,
    client: ClientSender,
    _messages: ClientMessages,
    is_open: watch::Sender<bool>,
}

impl Owned {
    async fn new() -> Self {
        let is_open = watch::Sender::new(true);
        let store = Gate { memory: MemoryStore::default(), is_open: is_open.clone() };
        let opened = Opened::default();
        let sessions =
            SessionManager::builder(StoringBackend(Arc::clone(&opened)), ManagerConfig::default())
                .store(store, StoreConfig::default())
                .build()
                .unwrap();
        let initialize = parse_message(message(r#""id":0,"method":"initialize""#), 1).unwrap();
        let initialized = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
        let (session, mut connection) = initialized.unwrap();
        let (client, messages) = opened.lock().pop_front().unwrap();
        let response = message(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#);
        client.send(response, None).await.unwrap();
        let mut events = Vec::new();
        while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
        Self { _sessions: sessions, session, client, _messages: messages, is_open }
    }

    async fn call(&self, id: u64) -> AnyConnection {
        let request = message(&format!(r#""id":{id},"method":"a""#));
        let request = parse_message(request, 1).unwrap();
        AnyConnection::Here(self.session.request(request, AnswerFormat::Sse).await.unwrap())
    }

    async fn respond(&self, id: u64, bytes: usize) {
        let response = message(&format!(r#""id":{id},"result":"{}""#, "x".repeat(bytes)));
        self.client.send(response, None).await.unwrap();
    }
}

fn message(members: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0",{members}}}"#).into()
}

#[tokio::test(start_paused = true)]
async fn an_owner_takes_only_events_that_the_link_has_room_for() {
    const RESPONSE: usize = 60_000;
    let owned = Owned::new().await;
    let room = Room::unread();
    owned.is_open.send_replace(false);
    let mut calls = Vec::new();
    for id in 1..=60 {
        let connection = owned.call(id).await;
        let (mut replies, controls) = Replies::on(&room);
        let serving = async move { send_events(connection, Origin::Request, &mut replies).await };
        calls.push((tokio::spawn(serving), controls));
        owned.respond(id, RESPONSE).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(room.bytes(), 0, "nothing is committed");
    owned.is_open.send_replace(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!room.is_left());
    assert!(room.bytes() < (1 << 20) + 2 * RESPONSE, "{}", room.bytes());
}

#[tokio::test]
async fn a_message_without_its_end_is_lost() {
    let (call, replies) = OpenCall::unread();
    let part = MessagePart { id: None, data: "{".into(), is_first: true, is_last: false };
    let mut connection = begin(Reply::Part(part), call, Kind::Request);
    replies.send(Reply::end()).await.unwrap();
    let mut events = Vec::new();
    assert!(!poll_fn(|cx| connection.poll_events(cx, &mut events)).await);
    assert!(events.is_empty() && connection.check_end().is_err());
}

#[tokio::test]
async fn responses_fail_when_their_process_closes_unless_clients_come_back() {
    let id = Some(EventId::new(StreamId::Request(0), 1));
    let progress = |id| {
        let events = vec![SseEvent::Message { id, data: "{}".into() }.into()];
        Reply::Events { events, has_more: true, is_complete: false }
    };
    let part = |is_last| Reply::Part(MessagePart { id, data: "{".into(), is_first: true, is_last });
    for (kind, reply, fails) in [
        (Kind::Request, Reply::none_yet(), true),
        (Kind::Request, progress(id), false),
        (Kind::Json, Reply::none_yet(), true),
        (Kind::Json, progress(id), true),
        (Kind::Get, Reply::none_yet(), false),
        (Kind::Request, part(false), false),
        (Kind::Json, part(false), false),
        (Kind::Json, part(true), true),
    ] {
        let (call, _replies) = OpenCall::unread();
        let mut connection = begin(reply, call, kind);
        let mut events = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        while connection.poll_events(&mut context, &mut events) == Poll::Ready(true) {}
        let expected = if fails { Poll::Ready(false) } else { Poll::Pending };
        assert_eq!(connection.poll_events(&mut context, &mut events), expected, "{kind:?}");
        assert_eq!(connection.check_end().is_err(), fails, "{kind:?}");
    }
}

fn begin(reply: Reply, call: OpenCall, kind: Kind) -> RemoteConnection {
    let end = EndAtShutdown::new(call.shutdown().clone(), kind, Duration::ZERO);
    RemoteConnection::begin(reply, call, usize::MAX, end, None).unwrap()
}
