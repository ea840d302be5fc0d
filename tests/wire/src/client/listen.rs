//! Listening: the standalone stream of a client.

use http::StatusCode;
use rejoin_tests::world::Chance;
use tokio::time::sleep;

use super::Guest;
use crate::visit::{Kind, Seen};

impl Guest {
    /// Keeps the standalone stream connected until the session is over.
    pub(super) async fn listen(self, mut luck: Chance) {
        let reading = self.visit.begin_reading(Kind::Standalone);
        tokio::select! {
            biased;
            () = self.visit.over() => {}
            () = self.keep_listening(&mut luck, reading) => {}
        }
    }

    async fn keep_listening(&self, luck: &mut Chance, reading: usize) {
        loop {
            let last = self.visit.last(reading);
            let rivals = self.visit.rivals_begun();
            match self.get(luck, last).await {
                // The server may have it, and go on to send on that connection.
                Err(_) => self.visit.see(reading, Seen::Doubted),
                Ok(mut exchange) => match exchange.status() {
                    StatusCode::OK => {
                        if last.is_some() {
                            self.world.count("resumes");
                            self.visit.resume_listening(reading, rivals);
                        }
                        self.read(luck, &mut exchange, reading).await;
                    }
                    // Another GET has just taken its place.
                    StatusCode::NO_CONTENT => {}
                    StatusCode::NOT_FOUND => return self.visit.leave(),
                    StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
                        self.world.count("listening: no room");
                        sleep(self.world.millis(luck, 50, 800)).await;
                    }
                    status => {
                        if let Some(text) = self.text(&mut exchange).await {
                            self.blame(format!(
                                "a GET after {last:?} was answered by {status}: {text}"
                            ));
                        }
                        return;
                    }
                },
            }
            self.pause(luck, reading).await;
        }
    }
}
