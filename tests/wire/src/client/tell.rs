//! Telling: POSTs without a request, which a client sends again if they are lost.

use http::StatusCode;
use rejoin_core::RequestId;
use rejoin_tests::world::{Chance, Fault};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Guest;
use crate::link::{End, Fate};
use crate::message::id_value;

impl Guest {
    /// Tells the server something, until it has heard it; twice, now and then.
    pub(super) async fn tell(&self, luck: &mut Chance, message: Value) {
        if self.world.strikes(luck, Fault::PostDoubled) {
            self.world.count("posts: doubled");
            self.tell_once(luck, &message).await;
        }
        self.tell_once(luck, &message).await;
    }

    /// Tells it likewise, while other things go on.
    pub(super) fn tell_later(&self, luck: &mut Chance, message: Value) {
        let guest = self.clone();
        let mut luck = Chance::new(luck.below(u64::MAX), 0, 0);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = guest.visit.over() => {}
                () = guest.world.parting() => {}
                () = guest.tell(&mut luck, message) => {}
            }
        });
    }

    /// Cancels a request.
    pub(super) async fn cancel(&self, luck: &mut Chance, id: &RequestId) {
        self.tell(
            luck,
            json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": id_value(id) },
            }),
        )
        .await;
    }

    async fn tell_once(&self, luck: &mut Chance, message: &Value) {
        while !self.visit.is_over() {
            let is_lost = self.world.strikes(luck, Fault::PostLost);
            let end = if is_lost {
                self.world.count("posts: lost");
                End::Early { is_forwarded: luck.strikes(300) }
            } else {
                End::Sound
            };
            let latency = luck.millis(0, 20);
            let fate = Fate { end, latency, ..Fate::SOUND };
            let (nth, numbered) = self.visit.number(message);
            if let Ok(mut exchange) = self.post(fate, numbered.to_string()).await {
                match exchange.status() {
                    StatusCode::ACCEPTED => {
                        self.visit.record.lock().accepted += 1;
                        self.visit.told(nth);
                        return;
                    }
                    StatusCode::NOT_FOUND => self.visit.leave(),
                    StatusCode::SERVICE_UNAVAILABLE => self.world.count("posts: no room"),
                    status => {
                        if let Some(text) = self.text(&mut exchange).await {
                            self.blame(format!("{message} was answered by {status}: {text}"));
                        }
                        return;
                    }
                }
            }
            sleep(self.world.millis(luck, 20, 500)).await;
        }
    }
}
