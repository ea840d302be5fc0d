//! Requests that wait for a message which cannot be read.

use std::collections::BTreeSet;

use rejoin_core::RequestId;

use super::{
    outline::{Id, Outline},
    pending::{PendingRequests, find_pending},
    scanner::OutlineScanner,
};

/// Maximum number of server requests that one line can cause to be rejected. The errors wait in
/// the queue of the child until it reads them.
pub(super) const REJECTED_MAX: usize = 64;

/// The requests of both sides that wait for a message that cannot be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AffectedRequests {
    /// Requests of the client that the text was meant to answer, so that no other response will
    /// follow. At most all pending ones.
    pub(super) failed: BTreeSet<RequestId>,
    /// Requests of the client that the text may have been meant to answer. At most all pending
    /// ones.
    pub(super) uncertain: BTreeSet<RequestId>,
    /// Requests of the child to reject: at most [`REJECTED_MAX`].
    pub(super) rejected: Vec<RequestId>,
    /// Number of rejected requests, including those that [`take`](Self::take) has returned.
    rejections: usize,
    /// Whether a response names a request of the client.
    has_named_request: bool,
    /// Whether there is a response without a readable id.
    has_response_without_id: bool,
}

impl AffectedRequests {
    /// Finds the requests that wait for the messages in unreadable text.
    pub(super) fn of(bytes: &[u8], pending: &impl PendingRequests) -> Self {
        let mut affected = Self::default();
        OutlineScanner::of(bytes, |outline| affected.add(outline, pending));
        affected.finish(pending);
        affected
    }

    /// Adds the request that waits for an object, if any. No request waits for a log line.
    pub(super) fn add(&mut self, outline: Outline, pending: &impl PendingRequests) {
        let (is_response, is_request) = (outline.is_response(), outline.is_request());
        let has_content = outline.has_result || outline.has_error;
        match outline.id {
            Id::Known(id) if outline.is_prefixed => {
                let is_uncertain = outline.has_jsonrpc && has_content && is_response;
                let request = is_uncertain.then(|| find_pending(&id, pending)).flatten();
                self.uncertain.extend(request);
            }
            _ if outline.is_prefixed => {}
            Id::Known(id) if is_response => {
                let failed = find_pending(&id, pending);
                self.has_named_request |= failed.is_some();
                self.failed.extend(failed);
            }
            Id::Known(id) if is_request && self.rejections < REJECTED_MAX => {
                self.rejections += 1;
                self.rejected.push(id);
            }
            Id::Absent | Id::Invalid => {
                self.has_response_without_id |= outline.has_jsonrpc && has_content;
            }
            Id::Known(_) | Id::Ambiguous => {}
        }
    }

    /// Takes the requests that were found so far.
    pub(super) fn take(&mut self) -> Self {
        let Self { rejections, has_named_request, has_response_without_id, .. } = *self;
        let rest =
            Self { rejections, has_named_request, has_response_without_id, ..Self::default() };
        std::mem::replace(self, rest)
    }

    /// Handles the end of the line: a response without an id fails the only pending request.
    pub(super) fn finish(&mut self, pending: &impl PendingRequests) {
        if self.has_response_without_id && !self.has_named_request {
            self.failed.extend(pending.only());
        }
    }
}
