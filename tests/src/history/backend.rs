//! Inputs of the backend.

use std::time::Duration;

use rejoin_core::{
    Head, Initialized, Input, Notification, Overflow, ProgressToken, RequestId, StreamId,
};

use super::client::{INVALID_BELOW, OVER_LIMIT_BELOW};
use super::{Environment, ids};

impl Environment {
    /// Makes the response to `initialize`, sometimes an error.
    pub(super) fn initialize_response(&mut self, id: RequestId) -> Input<u64> {
        let initialized =
            Initialized { version: self.version, logging: self.chance.is_multiple_of(2) };
        let head = if matches!(self.chance, 71..=73) {
            Head::Error { id: Some(id) }
        } else {
            Head::Response { id, initialized, creates_task: false }
        };
        let message =
            self.message(head, usize::from(self.chance).min(self.config.message_bytes_max));
        Input::BackendMessage { message, related: None, overflow: self.overflow() }
    }

    /// Makes a response or an error.
    pub(super) fn response(&mut self, which: u8, how: u8, size: u8, fault: u8) -> Input<u64> {
        let pick_finished = |finished: &std::collections::VecDeque<RequestId>| {
            finished.get(usize::from(which) % finished.len().max(1)).cloned()
        };
        let unknown = || Some(ids::request_id(u64::from(which) + 500));
        let current = || Some(ids::pick(&self.pending, which)?.id.clone());
        let id = match fault {
            0..=5 => pick_finished(&self.answered).or_else(unknown),
            6..=9 => unknown(),
            10..=11 => None,
            12..=59 => pick_finished(&self.cancelled).or_else(current),
            60..=255 => current().or_else(|| pick_finished(&self.cancelled)),
        };
        if id.is_none() && fault >= INVALID_BELOW {
            return self.notify(how, which, size, how, fault);
        }
        let bytes = if how == 0 { self.excess(size) } else { self.size(size) };
        let head = match id {
            Some(id) if how < 220 => {
                let creates_task = how >= 180;
                Head::Response { id, initialized: Initialized::default(), creates_task }
            }
            id => Head::Error { id },
        };
        let message = self.message(head, bytes);
        Input::BackendMessage {
            message,
            related: self.related(how, which),
            overflow: self.overflow(),
        }
    }

    /// Makes a notification.
    pub(super) fn notify(
        &mut self,
        what: u8,
        which: u8,
        size: u8,
        related: u8,
        fault: u8,
    ) -> Input<u64> {
        let bytes = if fault < 6 { self.excess(size) } else { self.size(size) };
        let token = || self.progress_token(which);
        let notification = match what {
            0..=99 => token().map_or(Notification::Other, |token| Notification::Progress { token }),
            100..=109 => Notification::Progress { token: ids::progress_token(u64::from(which)) },
            110..=179 => Notification::Log,
            180..=255 => Notification::Other,
        };
        let message = self.message(Head::Notification(notification), bytes);
        Input::BackendMessage {
            message,
            related: self.related(related, which),
            overflow: self.overflow(),
        }
    }

    /// Makes a server request.
    pub(super) fn server_request(
        &mut self,
        which: u8,
        size: u8,
        related: u8,
        fault: u8,
    ) -> Input<u64> {
        if fault >= OVER_LIMIT_BELOW
            && self.server_requests.len() >= self.config.server_requests_max
        {
            return self.notify(related, which, size, related, fault);
        }
        let n = ids::free(which, self.ids_made, |n| {
            !self.server_requests.contains(&ids::request_id(n))
        });
        let mut id = ids::request_id(n);
        if fault < INVALID_BELOW / 2 {
            id = ids::pick(&self.server_requests, which).cloned().unwrap_or(id);
        }
        self.ids_made += 1;
        let method = rejoin_core::Method::Other;
        let bytes = if fault == INVALID_BELOW { self.excess(size) } else { self.size(size) };
        let message = self.message(Head::Request { id, method, progress_token: None }, bytes);
        Input::BackendMessage {
            message,
            related: self.related(related, which),
            overflow: self.overflow(),
        }
    }

    /// Makes a cancellation of a server request.
    pub(super) fn cancel_server_request(&mut self, which: u8, fault: u8) -> Input<u64> {
        let known = ids::pick(&self.server_requests, which).cloned();
        let request = match known {
            Some(id) if fault >= OVER_LIMIT_BELOW => id,
            Some(_) | None => ids::request_id(u64::from(which) % 60),
        };
        let head = Head::Notification(Notification::Cancelled { request });
        let message = self.message(head, usize::from(fault).min(self.config.message_bytes_max));
        Input::BackendMessage {
            message,
            related: self.related(fault, which),
            overflow: self.overflow(),
        }
    }

    /// Makes a disconnect of a stream.
    pub(super) fn disconnect(&mut self, which: u8, retry: u8, fault: u8) -> Input<u64> {
        let retry = match retry {
            0..=29 => Some(Duration::from_secs(u64::from(retry))),
            30..=39 => Some(Duration::MAX),
            _ => retry.is_multiple_of(2).then(|| Duration::from_millis(u64::from(retry))),
        };
        let resumable = self.connections.values().filter(|it| it.is_resumable && it.is_open());
        let resumable: Vec<StreamId> = resumable.filter_map(|it| it.stream).collect();
        let in_use: Vec<StreamId> = self.in_use.iter().copied().collect();
        let stream = match fault {
            0..=17 => Some(StreamId::Request(u64::from(which) % (self.streams_seen + 2))),
            18..=39 => ids::pick(&in_use, which).copied(),
            40..=255 => ids::pick(&resumable, which).copied(),
        };
        Input::Disconnect { stream: stream.unwrap_or(StreamId::Standalone), retry }
    }

    /// Returns whether a sender waits for room, as most do.
    fn overflow(&self) -> Overflow {
        if self.chance % 6 == 5 { Overflow::Evict } else { Overflow::Hold }
    }

    /// Returns the request that a message names as related.
    fn related(&self, selector: u8, which: u8) -> Option<RequestId> {
        match selector {
            0..=109 => None,
            110..=229 => Some(ids::pick(&self.pending, which.wrapping_mul(7))?.id.clone()),
            230..=244 => self.answered.front().cloned(),
            245..=255 => Some(ids::request_id(u64::from(which))),
        }
    }

    /// Returns the token of a pending request, or sometimes of a finished one.
    fn progress_token(&self, which: u8) -> Option<ProgressToken> {
        let tokens: Vec<&ProgressToken> =
            self.pending.iter().filter_map(|request| request.token.as_ref()).collect();
        if which % 16 == 5 {
            return self.used_tokens.front().cloned();
        }
        ids::pick(&tokens, which).copied().cloned()
    }
}
