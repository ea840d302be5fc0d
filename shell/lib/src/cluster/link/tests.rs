//! Links whose calls are served by the test.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rejoin_core::cluster::NodeId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::{
    CALLS_MAX, Call, CallError, Control, Link, LinkConfig, OpenCall, Operation, PostCall,
    QUEUED_CALL_BYTES_MAX, Replies, Reply, Serve, ServeFuture,
    frame::{self, FrameKind},
    hello::HelloError,
    message,
    reader::FrameReader,
};
use crate::{SessionId, cluster::ShutdownReceiver};

const INGRESS: NodeId = NodeId(1);
const OWNER: NodeId = NodeId(2);

const SECRET: &[u8] = b"the secret of the tests";

/// What the calls are served by.
#[derive(Clone, Copy)]
enum Served {
    /// A panic for `Find`; nothing for the others.
    Panics,
    /// A large reply.
    Large,
    /// The reply `Done`, once the test permits it.
    Permits(&'static Semaphore),
    /// `Done` for `Delete`, and for each pull of another call, once the test permits it.
    Pulls(&'static Semaphore),
}

impl Serve for Served {
    fn serve(&self, call: Call, mut replies: Replies) -> ServeFuture {
        let served = *self;
        Box::pin(async move {
            match served {
                Self::Panics => {
                    assert_ne!(call.operation, Operation::Find, "a bug in a backend");
                    replies.send(&Reply::Done);
                }
                Self::Large => {
                    let message = "x".repeat(512 << 10);
                    let (status, code, retry_after) = (503, 0, None);
                    replies.send(&Reply::Refused { status, code, message, retry_after });
                }
                Self::Permits(semaphore) => {
                    semaphore.acquire().await.unwrap().forget();
                    replies.send(&Reply::Done);
                }
                Self::Pulls(_) if call.operation == Operation::Delete => {
                    replies.send(&Reply::Done);
                }
                Self::Pulls(semaphore) => {
                    semaphore.acquire().await.unwrap().forget();
                    while let Some(control) = replies.control().await {
                        if control == Control::Pull {
                            replies.send(&Reply::Done);
                        }
                    }
                }
            }
        })
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// An owner, and how to reach it.
fn owner(served: Served) -> (LinkConfig, SocketAddr) {
    let config = LinkConfig::new("127.0.0.1:0".parse().unwrap(), SECRET).unwrap();
    config.listener.start();
    config.listener.register(OWNER, config.advertised(), Arc::new(served));
    let address = config.local_address();
    (config, address)
}

async fn link(address: SocketAddr) -> Link {
    let config = LinkConfig::new("127.0.0.1:0".parse().unwrap(), SECRET).unwrap();
    link_to(&config, &address.to_string()).await.unwrap()
}

async fn link_to(config: &LinkConfig, address: &str) -> Result<Link, HelloError> {
    super::connect(config, address, (INGRESS, OWNER), ShutdownReceiver::closed()).await
}

/// Returns the stream of a link whose frames the test writes and reads.
async fn raw_link(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ends = super::hello::Ends { ingress: INGRESS, owner: OWNER };
    let secret = super::hello::Secret::new(SECRET);
    super::hello::connect(&mut stream, ends, &address.to_string(), &secret).await.unwrap();
    stream
}

fn call(link: &Link, operation: Operation) -> Result<OpenCall, CallError> {
    link.call(&Call::new(SessionId::random(), None, None, operation))
}

fn semaphore() -> &'static Semaphore {
    Box::leak(Box::new(Semaphore::new(0)))
}

fn status(reply: Option<&Reply>) -> Option<u16> {
    match reply {
        Some(Reply::Refused { status, .. }) => Some(*status),
        _ => None,
    }
}

#[tokio::test]
async fn a_call_that_panics_is_refused_and_its_link_stands() {
    let (_owner, address) = owner(Served::Panics);
    let link = link(address).await;
    let mut panics = call(&link, Operation::Find).unwrap();
    assert_eq!(status(panics.reply().await.as_ref()), Some(500));
    let mut works = call(&link, Operation::Delete).unwrap();
    assert_eq!(works.reply().await, Some(Reply::Done));
    assert!(!link.is_over());
}

#[tokio::test]
async fn a_call_that_the_owner_has_no_place_for_is_refused_and_its_link_stands() {
    let (_owner, address) = owner(Served::Pulls(semaphore()));
    let link = link(address).await;
    let find = |_| call(&link, Operation::Find).unwrap();
    let open: Vec<_> = (0..CALLS_MAX).map(find).collect();
    assert_eq!(call(&link, Operation::Find).unwrap_err(), CallError::Full);
    // The ingress does not count them any more, and the owner does: nobody has listened there.
    drop(open);
    let mut surplus = call(&link, Operation::Delete).unwrap();
    assert_eq!(status(surplus.reply().await.as_ref()), Some(503));
    assert!(!link.is_over());
}

#[tokio::test]
async fn controls_that_are_not_heard_do_not_cut_the_link() {
    let busy = semaphore();
    let (_owner, address) = owner(Served::Pulls(busy));
    let link = link(address).await;
    let mut open = call(&link, Operation::Find).unwrap();
    for _ in 0..100 {
        open.say(Control::Disconnect { retry: Duration::ZERO });
    }
    open.say(Control::Pull);
    // The owner has read all of them by the time of this reply.
    let mut later = call(&link, Operation::Delete).unwrap();
    assert_eq!(later.reply().await, Some(Reply::Done));
    busy.add_permits(1);
    assert_eq!(open.reply().await, Some(Reply::Done));
    assert!(!link.is_over());
}

#[tokio::test]
async fn an_owner_that_leaves_finishes_the_calls_that_are_open() {
    let done = semaphore();
    let (owner, address) = owner(Served::Permits(done));
    let link = link(address).await;
    let mut open = call(&link, Operation::Find).unwrap();
    let leaving = tokio::spawn({
        let owner = owner.clone();
        async move { owner.listener.leave(OWNER).await }
    });
    while !link.is_over() {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&link, Operation::Find).unwrap_err(), CallError::Cut);
    assert!(!leaving.is_finished(), "a call is open");
    done.add_permits(1);
    assert_eq!(open.reply().await, Some(Reply::Done));
    timeout(Duration::from_secs(5), leaving).await.unwrap().unwrap();
}

/// Only Linux has these addresses without being configured.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_does_not_keep_others_from_linking() {
    let (_owner, address) = owner(Served::Panics);
    let mut silent = Vec::new();
    for _ in 0..64 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(address).await.unwrap());
    }
    let link = link(address).await;
    let mut works = call(&link, Operation::Delete).unwrap();
    assert_eq!(works.reply().await, Some(Reply::Done));
    let open = silent[7].try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(open, Err(std::io::ErrorKind::WouldBlock), "it still has time");
    for surplus in &mut silent[8..] {
        let closed = timeout(Duration::from_secs(1), surplus.read(&mut [0])).await.unwrap();
        assert_eq!(closed.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn calls_that_wait_for_a_link_that_was_cut_are_not_counted() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let config = LinkConfig::new("127.0.0.1:0".parse().unwrap(), SECRET).unwrap();
    let accepting = async {
        let (mut stream, _) = silent.accept().await.unwrap();
        let secret = super::hello::Secret::new(SECRET);
        super::hello::accept(&mut stream, u32::MAX, &secret, |_, _| None).await.unwrap();
        stream
    };
    let at = address.to_string();
    let (link, stream) = tokio::join!(link_to(&config, &at), accepting);
    let link = link.unwrap();
    let (head, ()) = http::Request::new(()).into_parts();
    let post = PostCall::new(&head, false, vec![0; QUEUED_CALL_BYTES_MAX].into());
    let mut large = call(&link, Operation::Post(Box::new(post))).unwrap();
    assert_eq!(call(&link, Operation::Find).unwrap_err(), CallError::Full);
    assert!(config.listener.queued_calls().get() > QUEUED_CALL_BYTES_MAX / 2);
    drop(stream);
    assert_eq!(large.reply().await, None);
    assert!(link.is_over());
    assert_eq!(config.listener.queued_calls().get(), 0);
}

/// A call that takes long to be received keeps pings behind it.
#[tokio::test]
async fn an_owner_shows_that_it_lives_without_being_asked() {
    let (_owner, address) = owner(Served::Panics);
    let mut reader = FrameReader::new(raw_link(address).await, 0);
    for _ in 0..2 {
        let frame = timeout(Duration::from_secs(10), reader.next()).await.unwrap().unwrap();
        assert_eq!((frame.call, frame.kind), (0, FrameKind::Pong));
    }
}

#[tokio::test]
async fn an_ingress_that_reads_no_replies_is_not_read_any_more() {
    let (_owner, address) = owner(Served::Large);
    let mut stream = raw_link(address).await;
    let mut calls = Vec::new();
    for id in (1..).take(CALLS_MAX) {
        let call = Call::new(SessionId::random(), None, None, Operation::Find);
        frame::write(id, FrameKind::Call, 1_000, &mut calls, |out| message::write(&call, out));
    }
    stream.write_all(&calls).await.unwrap();
    let mut ping = Vec::new();
    frame::write(0, FrameKind::Ping, 0, &mut ping, |_| {});
    // It does not listen to them, and so hears nothing for too long.
    let pings = async {
        while stream.write_all(&ping).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), pings).await.expect("the link stands");
}
