//! Deliveries: what the application gets of an event, compared with what it should get.

#![expect(clippy::indexing_slicing, reason = "servers are never removed")]

use rejoin_core::client::{self, ExchangeId};
use rejoin_core::{EventId, Head, Message, StreamId};

use super::world::World;
use crate::kit::checker::StreamChecker;

/// Checks a request stream until its number is known.
#[derive(Debug, Default)]
pub(super) struct Unnumbered(Option<StreamChecker>);

impl World {
    /// Passes an event to the machine. What that does not drop is checked as delivered.
    pub(super) fn receive(
        &mut self,
        exchange: ExchangeId,
        server: usize,
        id: Option<EventId>,
        event: &rejoin_core::Event<u64>,
    ) -> Result<(), String> {
        let mut input = client::Event::default();
        input.id = id.map(|id| id.to_string().into());
        match event {
            rejoin_core::Event::Priming { retry } => input.retry = *retry,
            // A comment, which the machine does not see.
            rejoin_core::Event::Gap { first } => {
                if let Some(id) = id {
                    let checker = self.checker(exchange, server, Some(id));
                    // What was delivered may have been evicted since.
                    let next = checker.last.map_or(0, |last| last + 1);
                    if next <= id.index {
                        checker.on_gap(next.max(*first)..=id.index)?;
                    }
                }
                return Ok(());
            }
            rejoin_core::Event::Failure(failure) => {
                let head = Head::Error { id: Some(failure.id.clone()) };
                let message = self.messages.create(server, head, 80);
                self.failures.insert(message.body, failure.id.clone());
                input.messages.push(message);
            }
            rejoin_core::Event::Message(body) => {
                let sent = self.messages.get(*body).ok_or("an unknown message was sent")?;
                input.messages.push(Message { head: sent.head.clone(), body: *body, bytes: 100 });
            }
        }
        // Sometimes the driver drops the data of an event, as if it were too large.
        if !input.messages.is_empty() && self.is_fault(1) && self.rng.chance(100) {
            self.coverage.hit("events: too large");
            input.messages.clear();
            input.is_too_large = true;
        }
        let mut checker = self.checker(exchange, server, id).clone();
        let is_old = id.is_some_and(|id| {
            checker.stream.is_some() && checker.last.is_some_and(|last| id.index <= last)
        });
        if !is_old {
            self.expect_posts(exchange, server, &input);
        }
        let expected = self.expected(server, is_old, &input);
        let delivered = self.feed_event(exchange, input)?;
        if delivered != expected {
            return Err(format!(
                "{delivered:?} was delivered of {event:?} ({id:?}), but expected is {expected:?}"
            ));
        }
        if is_old {
            self.coverage.hit("duplicate: dropped");
            return Ok(());
        }
        let ground_truth = &self.servers[server].server.ground_truth;
        checker.on_event(ground_truth, id, event)?;
        checker.is_strict = true;
        *self.checker(exchange, server, id) = checker;
        Ok(())
    }

    /// Returns which messages of an event the application must get.
    fn expected(&mut self, server: usize, is_old: bool, event: &client::Event<u64>) -> Vec<u64> {
        let is_current = self.session == Some(server);
        let has_room = self.has_room();
        let is_expected = |message: &&Message<u64>| match &message.head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.requests.get(id).is_some_and(|request| request.outcome.is_none())
            }
            Head::Request { .. } => !is_old && is_current && has_room,
            Head::Notification(_) => !is_old,
            Head::Error { id: None } => false,
        };
        let expected = event.messages.iter().filter(is_expected);
        let expected: Vec<u64> = expected.map(|message| message.body).collect();
        for _ in &expected {
            self.coverage.hit("deliveries: compared");
        }
        if expected.is_empty() && !is_old && !event.messages.is_empty() {
            self.coverage.hit("deliveries: none is expected");
        }
        expected
    }

    /// Returns whether the machine may deliver another request of the server.
    pub(super) fn has_room(&self) -> bool {
        self.server_requests.len() < self.config.server_requests_max
    }

    /// Returns the checker of the stream that an event belongs to.
    fn checker(
        &mut self,
        exchange: ExchangeId,
        server: usize,
        id: Option<EventId>,
    ) -> &mut StreamChecker {
        let own = &mut self.checkers.entry(exchange).or_default().0;
        match id {
            None => own.get_or_insert_with(StreamChecker::from_start),
            Some(EventId { stream: StreamId::Standalone, .. }) => self
                .streams
                .entry((server, StreamId::Standalone))
                .or_insert_with(StreamChecker::standalone),
            Some(EventId { stream, .. }) => {
                let own = own.take();
                self.streams
                    .entry((server, stream))
                    .or_insert_with(|| own.unwrap_or_else(StreamChecker::from_start))
            }
        }
    }
}
