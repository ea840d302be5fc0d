//! The standalone stream of a client.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::client::{Client, End};
use super::judge::Violation;
use super::life::CATCH_UP;
use super::session::Reader;

impl Client {
    /// Keeps the standalone stream connected until the session is over.
    pub(super) async fn read_standalone(&self) {
        tokio::select! {
            biased;
            () = self.session.ended() => {}
            () = self.keep_standalone_open() => {}
        }
    }

    async fn keep_standalone_open(&self) {
        let mut reader = Reader::new("");
        let mut served = Instant::now();
        loop {
            match self.get(reader.last).await {
                Ok(mut response) if response.status == StatusCode::OK => {
                    let end = loop {
                        match response.next(&self.cluster.injector).await {
                            Ok(item) => drop(self.on_item(&mut reader, &item)),
                            Err(end) => break end,
                        }
                    };
                    served = Instant::now();
                    reader.has_missed |= reader.last.is_none();
                    if end == End::Invalid {
                        let what = "what is received is not an event";
                        self.report(Violation::Unexpected, &reader, what);
                    }
                }
                Ok(mut response) => match response.status {
                    StatusCode::SERVICE_UNAVAILABLE => {}
                    StatusCode::NOT_FOUND => return self.on_missing("the standalone stream"),
                    status => {
                        let text = response.text().await;
                        let what = format!("its GET was answered by {status}: {text}");
                        if !self.may_have_lost() {
                            self.report(Violation::Unexpected, &reader, &what);
                        }
                        reader.last = None;
                    }
                },
                Err(_) => reader.has_missed |= reader.last.is_none(),
            }
            if served.elapsed() > CATCH_UP {
                let what = "the standalone stream is never served";
                return self.report(Violation::Unsettled, &reader, what);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
