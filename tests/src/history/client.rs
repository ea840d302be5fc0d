//! Inputs of the client.

use rejoin_core::{
    AnswerFormat, ConnectionId, EventId, Head, Input, Message, Method, Post, RequestId, StreamId,
};

use super::environment::Phase;
use super::{Environment, ids};

/// The connection of POSTs without a request.
const UNUSED: ConnectionId = ConnectionId(u64::MAX);
/// A fault below this makes an invalid input.
pub(super) const INVALID_BELOW: u8 = 18;
/// A fault below this makes an input even if a limit is reached.
pub(super) const OVER_LIMIT_BELOW: u8 = 40;

impl Environment {
    pub(super) fn initialize(&mut self) -> Input<u64> {
        let connection = self.new_connection();
        let post = Post::Single(self.initialize_message());
        Input::Post { connection, format: format(self.chance), post }
    }

    /// Makes a POST with requests.
    pub(super) fn post(
        &mut self,
        shape: u8,
        which: u8,
        size: u8,
        count: u8,
        fault: u8,
    ) -> Input<u64> {
        if self.phase == Phase::New || matches!(self.phase, Phase::Initializing(_)) {
            return self.post_before_initialized(shape, which);
        }
        if fault < INVALID_BELOW {
            return self.invalid_post(which, count, fault);
        }
        if fault >= OVER_LIMIT_BELOW {
            if self.pending.len() >= self.config.pending_requests_max {
                return self.response(which, shape, size, u8::MAX);
            }
            if self.in_use.len() >= self.config.streams_max {
                return self.free_stream(which, size);
            }
            if self.known_connections >= self.config.connections_max {
                return self.free_connection(which);
            }
        }
        let connection = self.new_connection();
        let post = if shape % 3 == 1 && self.may_batch(fault) {
            Post::Batch(self.batch(which, size, count))
        } else {
            Post::Single(self.request(which, size, &[]))
        };
        Input::Post { connection, format: format(shape >> 2), post }
    }

    /// Makes a POST before the session is initialized.
    fn post_before_initialized(&mut self, shape: u8, which: u8) -> Input<u64> {
        let connection = self.new_connection();
        let message = match which % 4 {
            0 | 1 => self.message(
                Head::Request {
                    id: ids::request_id(ids::free(shape, self.ids_made, |n| self.is_free(n))),
                    method: Method::Ping,
                    progress_token: None,
                },
                0,
            ),
            2 => self.initialize_message(),
            _ => self.request(which, 0, &[]),
        };
        Input::Post { connection, format: format(shape), post: Post::Single(message) }
    }

    /// Makes a POST that should be rejected.
    fn invalid_post(&mut self, which: u8, count: u8, fault: u8) -> Input<u64> {
        let mut connection = self.new_connection();
        let mut message = self.request(which, count, &[]);
        let mut other = self.request(which, count, std::slice::from_ref(&message));
        let mut is_batch = false;
        match fault % 9 {
            0 => {
                let used: Vec<RequestId> = self.ids_in_use();
                if let (Head::Request { id, .. }, Some(used)) =
                    (&mut message.head, ids::pick(&used, which))
                {
                    id.clone_from(used);
                }
            }
            1 => {
                if let Head::Request { progress_token, .. } = &mut message.head {
                    *progress_token = self.pending_token(which);
                }
            }
            2 => message = self.initialize_message(),
            3 => message.bytes = self.excess(count),
            4 | 5 => connection = self.pick_known_connection(which).unwrap_or(connection),
            6 => {
                is_batch = true;
                other = self.initialize_message();
            }
            7 => {
                is_batch = true;
                other.head = message.head.clone();
            }
            _ => {
                let length = self.config.batch_max.saturating_add(1).min(70);
                let mut post = vec![message];
                for _ in 1..length {
                    post.push(self.notification(which));
                }
                let messages = if count < 128 { post } else { Vec::new() };
                return self.request_on(connection, Post::Batch(messages));
            }
        }
        let post = if is_batch { Post::Batch(vec![message, other]) } else { Post::Single(message) };
        self.request_on(connection, post)
    }

    fn request_on(&self, connection: ConnectionId, post: Post<u64>) -> Input<u64> {
        Input::Post { connection, format: format(self.chance), post }
    }

    /// Makes a POST without requests.
    pub(super) fn post_messages(
        &mut self,
        what: u8,
        which: u8,
        size: u8,
        count: u8,
        fault: u8,
    ) -> Input<u64> {
        if fault < INVALID_BELOW {
            return self.invalid_messages(which, count, fault);
        }
        let post = if count % 4 == 1 && self.may_batch(fault) {
            let most = self.config.batch_max.min(1 + usize::from(count / 64));
            let messages = (0..most)
                .map(|nth| self.non_request(what.wrapping_add(37 * to_u8(nth)), which, size));
            Post::Batch(messages.collect())
        } else {
            Post::Single(self.non_request(what, which, size))
        };
        Input::Post { connection: UNUSED, format: AnswerFormat::Sse, post }
    }

    fn invalid_messages(&mut self, which: u8, count: u8, fault: u8) -> Input<u64> {
        let mut message = self.notification(which);
        let post = match fault % 4 {
            0 | 1 => Post::Batch(Vec::new()),
            2 => {
                let length = self.config.batch_max.saturating_add(1).min(70);
                Post::Batch((0..length).map(|_| self.notification(which)).collect())
            }
            _ => {
                message.bytes = self.excess(count);
                Post::Single(message)
            }
        };
        Input::Post { connection: UNUSED, format: AnswerFormat::Sse, post }
    }

    /// Makes a GET.
    pub(super) fn get(&mut self, how: u8, which: u8, index: u8, fault: u8) -> Input<u64> {
        if fault >= OVER_LIMIT_BELOW && self.known_connections >= self.config.connections_max {
            return self.free_connection(which);
        }
        let mut connection = self.new_connection();
        if fault < 3 {
            connection = self.pick_known_connection(which).unwrap_or(connection);
        }
        let has_no_id = how < 80 && (self.may_open_standalone() || fault < OVER_LIMIT_BELOW);
        let last_event_id = (!has_no_id).then(|| self.last_event_id(how, which, index, fault));
        Input::Get { connection, last_event_id }
    }

    fn last_event_id(&self, how: u8, which: u8, index: u8, fault: u8) -> EventId {
        let detached: Vec<StreamId> = self.detached.iter().copied().collect();
        let resumable = self.recent.iter().filter(|stream| !self.unresumable.contains(stream));
        let resumable: Vec<StreamId> = resumable.copied().collect();
        let any = StreamId::Request(u64::from(which) % self.streams_seen.max(1));
        let stream = match how {
            _ if fault < 6 => StreamId::Request(self.streams_seen + u64::from(which % 3)),
            _ if fault < 12 => any,
            0..=99 => StreamId::Standalone,
            100..=189 => ids::pick(&detached, which).copied().unwrap_or(StreamId::Standalone),
            190..=249 => ids::pick(&resumable, which).copied().unwrap_or(StreamId::Standalone),
            250..=255 => any,
        };
        let seen = self.last_seen.get(&stream).copied().unwrap_or(0);
        let index = match index {
            _ if fault % 16 == 15 => seen + u64::from(index) + 1,
            0..=179 => seen,
            180..=209 => 0,
            210..=249 => seen.saturating_sub(u64::from(index % 5)),
            250..=255 => seen + 1,
        };
        EventId::new(stream, index)
    }

    /// Returns whether a GET without an id should be accepted.
    fn may_open_standalone(&self) -> bool {
        let is_attached = self
            .connections
            .values()
            .any(|it| it.stream == Some(StreamId::Standalone) && it.is_open());
        let is_allowed = self.config.concurrent_get != rejoin_core::ConcurrentGet::Reject;
        !is_attached || is_allowed && self.config.shadows_max > 0
    }

    fn may_batch(&self, fault: u8) -> bool {
        let is_allowed = self.profile.is_some_and(|profile| profile.batches);
        fault < OVER_LIMIT_BELOW || is_allowed && self.config.batch_max > 0
    }

    fn batch(&mut self, which: u8, size: u8, count: u8) -> Vec<Message<u64>> {
        let requests_max = self.config.pending_requests_max.saturating_sub(self.pending.len());
        let mut messages = vec![self.request(which, size, &[])];
        let more = usize::from(count % 6).min(self.config.batch_max.saturating_sub(1));
        for nth in 1..=more {
            let selector = count.wrapping_mul(29).wrapping_add(to_u8(41 * nth));
            let is_request = selector < 160 && messages.len() < requests_max;
            messages.push(if is_request {
                self.request(selector, size, &messages)
            } else {
                self.non_request(selector, which, size)
            });
        }
        messages
    }
}

fn format(selector: u8) -> AnswerFormat {
    if selector % 4 == 3 { AnswerFormat::Json } else { AnswerFormat::Sse }
}

fn to_u8(nth: usize) -> u8 {
    u8::try_from(nth % 256).unwrap_or(0)
}
