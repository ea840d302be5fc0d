//! The standalone stream of a client.

use http::StatusCode;
use rejoin_tests::kit::Rng;
use tokio::time::sleep;

use super::Client;
use crate::client_session::{Observation, ReaderKind};

impl Client {
    /// Keeps the standalone stream connected until the session is over.
    pub(super) async fn read_standalone(self, mut rng: Rng) {
        let reader = self.session.add_reader(ReaderKind::Standalone);
        tokio::select! {
            biased;
            () = self.session.ended() => {}
            () = self.keep_standalone_open(&mut rng, reader) => {}
        }
    }

    async fn keep_standalone_open(&self, rng: &mut Rng, reader: usize) {
        loop {
            let last = self.session.last_event_id(reader);
            let competing_gets = self.session.competing_gets();
            match self.get(rng, last).await {
                // The server may have accepted the GET, and send events on that connection.
                Err(_) => self.session.observe(reader, Observation::Relaxed),
                Ok(mut exchange) => match exchange.status() {
                    StatusCode::OK => {
                        if last.is_some() {
                            self.simulation.hit("resumes");
                            self.session.on_standalone_resumed(reader, competing_gets);
                        }
                        self.read(rng, &mut exchange, reader).await;
                    }
                    // A competing GET has just replaced it.
                    StatusCode::NO_CONTENT => {}
                    StatusCode::NOT_FOUND => return self.session.end(),
                    StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
                        self.simulation.hit("standalone stream: refused");
                        sleep(self.simulation.millis(rng, 50, 800)).await;
                    }
                    status => {
                        if let Some(text) = self.text(&mut exchange).await {
                            self.report_failure(format!(
                                "a GET after {last:?} was answered by {status}: {text}"
                            ));
                        }
                        return;
                    }
                },
            }
            self.wait_to_resume(rng, reader).await;
        }
    }
}
