//! Exchanges: one HTTP request of a client, and the response, over a link that may fail.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
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

/// Says that a connection broke, or that nothing came for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Off,
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
        let ends = world.server.connect().await.map_err(|_| Broken::Off)?;
        let (healed, longest) = (world.healed(), world.knobs.longest());
        let tally = world.tally_of_links();
        tokio::spawn(async move {
            tally.count(relay(ends.near, ends.far, fate, longest, healed).await);
        });
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(ends.client)).await;
        let (mut sender, connection) = shaken.map_err(|_| Broken::Off)?;
        let connection = Ending(tokio::spawn(async move { drop(connection.await) }));
        let response = timeout(world.knobs.head_max(), sender.send_request(request)).await;
        let response = response.map_err(|_| Broken::Silent)?.map_err(|_| Broken::Off)?;
        let is_sound = fate.is_sound();
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
        loop {
            let frame = timeout(longest, self.response.body_mut().frame()).await;
            match frame.map_err(|_| Broken::Silent)? {
                None => return Ok(None),
                Some(Err(_)) => return Err(Broken::Off),
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
                return Err(Broken::Off);
            }
        }
        Ok(all)
    }
}
