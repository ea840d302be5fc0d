//! Exchanges: one HTTP request of a client, and the response, over a link that may fail.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::link::{Fate, relay};
use crate::world::World;

/// A response, as far as it has come.
#[derive(Debug)]
pub(crate) struct Exchange {
    response: Response<Incoming>,
    /// Whether nothing in between keeps the client waiting.
    pub(crate) is_sound: bool,
    /// What moves the bytes; to drop it ends the connection.
    _connection: Ending,
}

#[derive(Debug)]
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says that a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) how: How,
    /// Whether it was the server that broke it: nothing in between has, nor was there
    /// anything to wait for.
    pub(crate) is_wrong: bool,
}

/// How a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It ended before all had come that was to come.
    Off,
    /// Nothing came for too long.
    Silent,
}

/// The largest body that is no stream, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

impl Exchange {
    /// Sends a request, and waits for the head of the response.
    pub(crate) async fn begin(
        world: &World,
        fate: Fate,
        request: Request<Full<Bytes>>,
    ) -> Result<Self, Broken> {
        let is_sound = fate.is_sound();
        let off = Broken { how: How::Off, is_wrong: is_sound };
        let silent = Broken { how: How::Silent, is_wrong: is_sound && !may_wait(world, &request) };
        let ends = world.server.connect().await.map_err(|_| off)?;
        let (healed, longest) = (world.healed(), world.knobs.longest());
        let tally = world.tally_of_links();
        tokio::spawn(async move {
            tally.count(relay(ends.near, ends.far, fate, longest, healed).await);
        });
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(ends.client)).await;
        let (mut sender, connection) = shaken.map_err(|_| off)?;
        let connection = Ending(tokio::spawn(async move { drop(connection.await) }));
        let response = timeout(world.knobs.head_max(), sender.send_request(request)).await;
        let response = response.map_err(|_| silent)?.map_err(|_| off)?;
        Ok(Self { response, is_sound, _connection: connection })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns whether a stream of events follows.
    pub(crate) fn is_stream(&self) -> bool {
        let kind = self.headers().get(http::header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind == "text/event-stream")
    }

    /// Waits for more of the body, but not for longer than `longest`; `None` is its end.
    pub(crate) async fn next(&mut self, longest: Duration) -> Result<Option<Bytes>, Broken> {
        let broken = |how| Broken { how, is_wrong: self.is_sound };
        let (off, silent) = (broken(How::Off), broken(How::Silent));
        loop {
            let frame = timeout(longest, self.response.body_mut().frame()).await;
            match frame.map_err(|_| silent)? {
                None => return Ok(None),
                Some(Err(_)) => return Err(off),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads all of a body that is no stream.
    pub(crate) async fn whole(&mut self, longest: Duration) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        while let Some(data) = self.next(longest).await? {
            all.extend_from_slice(&data);
            if all.len() > BODY_BYTES_MAX {
                return Err(Broken { how: How::Off, is_wrong: true });
            }
        }
        Ok(all)
    }
}

impl Broken {
    /// Returns what the server has done wrong.
    pub(crate) fn wrong(self) -> Option<&'static str> {
        self.is_wrong.then_some(match self.how {
            How::Off => "a sound connection breaks off",
            How::Silent => "nothing comes on a sound connection, not even a sign of life",
        })
    }
}

/// Returns whether the head of a response waits for the answer, which a backend may not give.
fn may_wait(world: &World, request: &Request<Full<Bytes>>) -> bool {
    world.knobs.json && request.method() == Method::POST && !world.is_healed()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::knobs::{Kind, Knobs};
    use crate::link::End;
    use crate::server::Server;

    /// Returns how an exchange breaks with a server that says `said` and hangs up.
    async fn broken(fate: Fate, said: &'static str) -> Option<Broken> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::There(listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1_000]).await;
            let _ = stream.write_all(said.as_bytes()).await;
        });
        let knobs = Knobs::draw_hurried(0, Kind::Demo, 1);
        let world = World::new(knobs, server, Arc::new(AtomicBool::new(false)));
        let request = Request::get("/mcp").body(Full::default()).unwrap();
        let whole = async {
            Exchange::begin(&world, fate, request).await?.whole(world.knobs.head_max()).await
        };
        let broken = whole.await.err();
        serving.abort();
        broken
    }

    #[tokio::test]
    async fn a_server_that_breaks_off_is_to_blame_unless_the_link_did() {
        let off = |is_wrong| Some(Broken { how: How::Off, is_wrong });
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall";
        assert_eq!(broken(Fate::SOUND, whole).await, None);
        for said in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nall"] {
            assert_eq!(broken(Fate::SOUND, said).await, off(true), "{said}");
        }
        let cut = Fate { end: End::After(9), ..Fate::SOUND };
        assert_eq!(broken(cut, whole).await, off(false));
    }
}
