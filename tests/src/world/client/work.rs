//! Work: the requests that a client makes.

use std::collections::BTreeSet;
use std::time::Duration;

use rejoin_core::{AnswerFormat, Head, Message, Method, Post, Profile, RequestId};

use crate::world::World;
use crate::world::agenda::{ClientNo, Happening, ReadingNo, Serial, ServerNo};
use crate::world::backend::token;
use crate::world::driver::RESERVED;
use crate::world::faults::Fault;
use crate::world::parcel::Parcel;
use crate::world::state::{Kind, Request};
use crate::world::witness::Chain;

impl World {
    /// Makes the next requests.
    pub(super) fn work(&mut self, no: ClientNo, server: ServerNo) {
        let rush = self.faults.rate(Fault::Rush);
        let at_once = self.knobs.at_once;
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let posts = if client.luck.strikes(rush) { client.luck.size(2, 8) } else { 1 };
        for nth in 0..posts {
            let is_free = |client: &super::Client| {
                client.todo > 0 && client.flights.len() < at_once && client.server == Some(server)
            };
            if self.clients.get(&no).is_some_and(is_free) {
                self.request(no, server);
                if nth == 1 {
                    self.tally.struck(Fault::Rush);
                }
            }
        }
    }

    /// Makes one POST with requests.
    fn request(&mut self, no: ClientNo, server: ServerNo) {
        let is_batch = self.may_batch(no, server);
        let reading = self.begin_reading((no, server), Kind::Stray, Chain::fresh());
        let batch_max = self.knobs.config.batch_max.min(4);
        let Some(client) = self.clients.get_mut(&no) else {
            return;
        };
        let luck = &mut client.luck;
        let count = if is_batch { luck.size(1, batch_max).min(client.todo) } else { 1 };
        let format = if luck.strikes(150) { AnswerFormat::Json } else { AnswerFormat::Sse };
        let is_reserved = luck.strikes(60);
        let expires = self.knobs.config.reservation_timeout.is_some_and(|it| it <= RESERVED);
        let (mut ids, mut open, mut messages) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for _ in 0..count {
            let (serial, message) = self.make_request(no, server, reading);
            if let Some(request) = self.requests.get_mut(&serial) {
                request.is_due &= !(is_reserved && expires);
            }
            open.insert(serial);
            ids.extend(crate::laws::request_id(&message.head).cloned());
            messages.push(message);
        }
        if let Some(reading) = self.readings.get_mut(&reading) {
            reading.kind = Kind::Requests { ids, open };
        }
        let post = match messages.pop() {
            Some(message) if !is_batch => Post::Single(message),
            message => {
                messages.extend(message);
                Post::Batch(messages)
            }
        };
        let line = self.open_line(no, server, reading);
        if let Some(line) = self.lines.get_mut(&line) {
            line.is_reserved = is_reserved;
        }
        self.send_off(
            line,
            if is_reserved {
                Parcel::Reserve { line, format, post }
            } else {
                Parcel::Requests { line, format, post }
            },
        );
    }

    fn may_batch(&mut self, no: ClientNo, server: ServerNo) -> bool {
        let version = self.servers.get(server).and_then(|server| server.version);
        let is_allowed = Profile::governing(version).batches && self.knobs.config.batch_max > 0;
        let client = self.clients.get_mut(&no);
        is_allowed && client.is_some_and(|client| client.luck.strikes(400))
    }

    fn make_request(
        &mut self,
        no: ClientNo,
        server: ServerNo,
        reading: ReadingNo,
    ) -> (Serial, Message<u64>) {
        let (huge, config) = (self.faults.rate(Fault::Huge), &self.knobs.config);
        let (mut serial, mut bytes, mut has_token) = (0, 0, false);
        if let Some(client) = self.clients.get_mut(&no) {
            client.todo = client.todo.saturating_sub(1);
            serial = client.serial();
            client.flights.insert(serial);
            bytes = client.luck.size(0, 300);
            if client.luck.strikes(huge) {
                bytes = config.message_bytes_max.saturating_add(1);
                self.tally.struck(Fault::Huge);
            }
            has_token = client.luck.strikes(700);
        }
        let id = id_of(serial);
        let progress_token = has_token.then(|| token(&id));
        let head = Head::Request {
            id: id.clone(),
            method: Method::Other,
            progress_token: progress_token.clone(),
        };
        let request = Request {
            client: no,
            server,
            id,
            token: progress_token,
            reading,
            sent_at: self.now,
            is_due: self.is_healed,
            is_given_up: false,
            is_accepted: false,
            is_doubled: false,
            outcome: None,
        };
        self.requests.insert(serial, request);
        // Nobody has to give up when nothing goes wrong any more.
        if !self.is_healed {
            self.later(self.knobs.patience, Happening::Patience(serial));
        }
        (serial, self.messages.say(server, head, bytes))
    }

    /// Notes that a POST was refused because of a limit: its requests are made again.
    pub(super) fn unmake_requests(&mut self, no: ClientNo, open: &BTreeSet<Serial>) {
        for serial in open {
            let is_open = |request: Request| request.outcome.is_none();
            if self.requests.remove(serial).is_some_and(is_open)
                && let Some(client) = self.clients.get_mut(&no)
            {
                client.flights.remove(serial);
                client.todo += 1;
            }
            self.tally.add("requests: refused");
        }
    }

    /// Returns when a client that finds a limit reached tries again.
    pub(super) fn patience_for_limits(&mut self, no: ClientNo) -> Duration {
        let client = self.clients.get_mut(&no);
        client.map_or(Duration::ZERO, |client| client.luck.millis(50, 800))
    }
}

/// Returns the id of a request: integers and texts in turn.
fn id_of(serial: Serial) -> RequestId {
    let number = i64::try_from(serial).unwrap_or(i64::MAX);
    if serial.is_multiple_of(2) {
        return number.into();
    }
    RequestId::try_from(number.to_string().as_str()).unwrap_or(number.into())
}
