//! The requests of a client.

use std::collections::BTreeSet;
use std::time::Duration;

use rejoin_core::{AnswerFormat, Head, Message, Method, Post, Profile};

use crate::kit::checker::StreamChecker;
use crate::kit::{Fault, request_id};
use crate::simulation::Simulation;
use crate::simulation::backend::token_of;
use crate::simulation::event_queue::{ClientNo, ReaderNo, Serial, ServerNo, SimEvent};
use crate::simulation::packet::Packet;
use crate::simulation::state::{ClientRequest, ReaderKind};

impl Simulation {
    /// Sends the next requests.
    pub(super) fn send_requests(&mut self, no: ClientNo, server: ServerNo) {
        let rate = self.faults.rate(Fault::RequestBurst);
        let at_once = self.parameters.pending_max;
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let posts = if client.rng.chance(rate) { client.rng.size(2, 8) } else { 1 };
        for nth in 0..posts {
            let is_free = |client: &super::Client| {
                client.requests_left > 0
                    && client.pending.len() < at_once
                    && client.server == Some(server)
            };
            if self.clients.get(&no).is_some_and(is_free) {
                self.send_request(no, server);
                if nth == 1 {
                    self.coverage.hit_fault(Fault::RequestBurst);
                }
            }
        }
    }

    /// Sends one POST with requests.
    fn send_request(&mut self, no: ClientNo, server: ServerNo) {
        let is_batch = self.may_batch(no, server);
        let reader =
            self.add_reader((no, server), ReaderKind::Spurious, StreamChecker::from_start());
        let batch_max = self.parameters.config.batch_max.min(4);
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let rng = &mut client.rng;
        let count = if is_batch { rng.size(1, batch_max).min(client.requests_left) } else { 1 };
        let format = if rng.chance(150) { AnswerFormat::Json } else { AnswerFormat::Sse };
        let (mut ids, mut open, mut messages) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for _ in 0..count {
            let (serial, message) = self.make_request(no, server, reader);
            open.insert(serial);
            ids.extend(crate::laws::request_id(&message.head).cloned());
            messages.push(message);
        }
        if let Some(reader) = self.readers.get_mut(&reader) {
            reader.kind = ReaderKind::Requests { ids, open };
        }
        let post = match messages.pop() {
            Some(message) if !is_batch => Post::Single(message),
            message => {
                messages.extend(message);
                Post::Batch(messages)
            }
        };
        let link = self.open_link(no, server, reader);
        self.send_on_link(link, Packet::Requests { link, format, post });
    }

    fn may_batch(&mut self, no: ClientNo, server: ServerNo) -> bool {
        let version = self.servers.get(server).and_then(|server| server.version);
        let is_allowed =
            Profile::governing(version).batches && self.parameters.config.batch_max > 0;
        let client = self.clients.get_mut(&no);
        is_allowed && client.is_some_and(|client| client.rng.chance(400))
    }

    fn make_request(
        &mut self,
        no: ClientNo,
        server: ServerNo,
        reader: ReaderNo,
    ) -> (Serial, Message<u64>) {
        let (rate, config) = (self.faults.rate(Fault::OversizedMessage), &self.parameters.config);
        let (mut serial, mut bytes, mut has_token) = (0, 0, false);
        if let Some(client) = self.clients.get_mut(&no) {
            client.requests_left = client.requests_left.saturating_sub(1);
            serial = client.serial();
            client.pending.insert(serial);
            bytes = client.rng.size(0, 300);
            if client.rng.chance(rate) {
                bytes = config.message_bytes_max.saturating_add(1);
                self.coverage.hit_fault(Fault::OversizedMessage);
            }
            has_token = client.rng.chance(700);
        }
        let id = request_id(serial);
        let progress_token = has_token.then(|| token_of(&id));
        let head = Head::Request {
            id: id.clone(),
            method: Method::Other,
            progress_token: progress_token.clone(),
        };
        let request = ClientRequest {
            client: no,
            server,
            id,
            token: progress_token,
            reader,
            sent_at: self.now,
            must_be_answered: self.is_fault_free,
            is_cancelled: false,
            is_accepted: false,
            is_duplicated: false,
            outcome: None,
        };
        self.requests.insert(serial, request);
        // Requests do not time out in the fault-free phase.
        if !self.is_fault_free {
            self.schedule_after(self.parameters.request_timeout, SimEvent::RequestTimeout(serial));
        }
        (serial, self.messages.create(server, head, bytes))
    }

    /// Requeues the requests of a POST that was refused because of a limit.
    pub(super) fn requeue_requests(&mut self, no: ClientNo, open: &BTreeSet<Serial>) {
        for serial in open {
            let is_open = |request: ClientRequest| request.outcome.is_none();
            if self.requests.remove(serial).is_some_and(is_open)
                && let Some(client) = self.clients.get_mut(&no)
            {
                client.pending.remove(serial);
                client.requests_left += 1;
            }
            self.coverage.hit("requests: refused");
        }
    }

    /// Returns the delay until a client that has reached a limit tries again.
    pub(super) fn retry_delay(&mut self, no: ClientNo) -> Duration {
        let client = self.clients.get_mut(&no);
        client.map_or(Duration::ZERO, |client| client.rng.millis(50, 800))
    }
}
