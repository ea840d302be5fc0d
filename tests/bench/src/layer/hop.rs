//! Channels to a task and back, as a lower bound.

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, oneshot};

use super::SessionLayer;

/// A channel to a task, which responds on another channel.
#[derive(Clone)]
pub(crate) struct ChannelHop;

impl SessionLayer for ChannelHop {
    type Session = mpsc::Sender<oneshot::Sender<()>>;
    type Stream = Option<oneshot::Receiver<()>>;
    type Message = ();

    fn parse(&self, _: String) -> Result<()> {
        Ok(())
    }

    async fn open(&self) -> Result<Self::Session> {
        let (session, mut requests) = mpsc::channel::<oneshot::Sender<()>>(16);
        tokio::spawn(async move {
            while let Some(response) = requests.recv().await {
                // The receiver may have been dropped.
                let _ = response.send(());
            }
        });
        Ok(session)
    }

    async fn send(&self, session: &Self::Session, (): ()) -> Result<Self::Stream> {
        let (sender, response) = oneshot::channel();
        session.send(sender).await?;
        Ok(Some(response))
    }

    async fn next_events(&self, stream: &mut Self::Stream) -> Result<usize> {
        Ok(match stream.take() {
            Some(response) => response.await.is_ok().into(),
            None => 0,
        })
    }

    async fn next_events_as_json(&self, stream: &mut Self::Stream) -> Result<usize> {
        self.next_events(stream).await
    }

    async fn first_id(&self, _: &mut Self::Stream) -> Result<String> {
        None.context("a channel has no events")
    }

    async fn resume(&self, _: &Self::Session, _: &str) -> Result<Self::Stream> {
        None.context("a channel has no events")
    }
}
