//! Messages of the client.

use std::collections::VecDeque;

use rejoin_core::{Head, Initialized, Message, Method, Notification, ProgressToken, RequestId};

use super::environment::Phase;
use super::{Environment, ids};
use crate::laws::request_id;

impl Environment {
    /// Makes a request whose id and token are free, and not those of the messages before it.
    pub(super) fn request(&mut self, which: u8, size: u8, before: &[Message<u64>]) -> Message<u64> {
        self.ids_made += 1;
        let is_new = |id: &RequestId| {
            let head = |message: &Message<u64>| request_id(&message.head) == Some(id);
            !before.iter().any(head)
        };
        let n = ids::free(which, self.ids_made, |n| self.is_free(n) && is_new(&ids::request_id(n)));
        let id = ids::request_id(n);
        let method = if which % 16 == 7 { Method::Ping } else { Method::Other };
        let has_token = size.is_multiple_of(2);
        let progress_token = has_token.then(|| {
            let is_used = |token: &ProgressToken| {
                let is_pending =
                    self.pending.iter().any(|request| request.token.as_ref() == Some(token));
                is_pending
                    || before.iter().any(|message| {
                        matches!(
                            &message.head,
                            Head::Request { progress_token: Some(used), .. } if used == token
                        )
                    })
            };
            let is_free = |n| !is_used(&ids::progress_token(n));
            ids::progress_token(ids::free(which, self.ids_made, is_free))
        });
        let bytes = self.size(size);
        Message { bytes, ..self.message(Head::Request { id, method, progress_token }, 0) }
    }

    pub(super) fn initialize_message(&mut self) -> Message<u64> {
        let n = ids::free(self.chance, self.ids_made, |n| self.is_free(n));
        let method = Method::Initialize { version: self.version };
        self.message(Head::Request { id: ids::request_id(n), method, progress_token: None }, 0)
    }

    /// Makes a message that is not a request.
    pub(super) fn non_request(&mut self, what: u8, which: u8, size: u8) -> Message<u64> {
        let bytes = self.size(size);
        let answered = ids::pick(&self.server_requests, which).cloned();
        let pick_finished = |finished: &VecDeque<RequestId>| {
            finished.get(usize::from(which) % finished.len().max(1)).cloned()
        };
        let head = match what {
            0..=49 => match ids::pick(&self.pending, which) {
                Some(request) => cancel(request.id.clone()),
                None => other(),
            },
            50..=69 => {
                match pick_finished(&self.answered).or_else(|| pick_finished(&self.cancelled)) {
                    Some(id) => cancel(id),
                    None => cancel(ids::request_id(u64::from(which))),
                }
            }
            70..=169 => match answered {
                Some(id) if what.is_multiple_of(4) => Head::Error { id: Some(id) },
                Some(id) => {
                    Head::Response { id, initialized: Initialized::default(), creates_task: false }
                }
                None => other(),
            },
            170..=189 => match pick_finished(&self.finished_server_requests) {
                Some(id) => {
                    Head::Response { id, initialized: Initialized::default(), creates_task: false }
                }
                None => Head::Error { id: Some(ids::request_id(u64::from(which))) },
            },
            190..=194 => Head::Error { id: None },
            195..=209 => Head::Notification(Notification::Progress {
                token: ids::progress_token(u64::from(which)),
            }),
            210..=219 => Head::Notification(Notification::Log),
            220..=255 => other(),
        };
        self.message(head, bytes)
    }

    pub(super) fn notification(&mut self, which: u8) -> Message<u64> {
        let bytes = self.size(which / 4);
        self.message(other(), bytes)
    }

    pub(super) fn message(&mut self, head: Head, bytes: usize) -> Message<u64> {
        Message { head, body: self.new_body(), bytes }
    }

    /// Returns whether an id of the pool is free, as far as the client knows.
    pub(super) fn is_free(&self, n: u64) -> bool {
        let id = ids::request_id(n);
        let is_pending = self.pending.iter().any(|request| request.id == id);
        let is_initialize = self.phase == Phase::Initializing(id.clone());
        !is_pending && !is_initialize && !self.cancelled.contains(&id)
    }

    pub(super) fn ids_in_use(&self) -> Vec<RequestId> {
        let pending = self.pending.iter().map(|request| request.id.clone());
        pending.chain(self.cancelled.iter().cloned()).collect()
    }

    pub(super) fn pending_token(&self, which: u8) -> Option<ProgressToken> {
        let tokens: Vec<&ProgressToken> =
            self.pending.iter().filter_map(|request| request.token.as_ref()).collect();
        ids::pick(&tokens, which).copied().cloned()
    }
}

fn cancel(request: RequestId) -> Head {
    Head::Notification(Notification::Cancelled { request })
}

fn other() -> Head {
    Head::Notification(Notification::Other)
}
