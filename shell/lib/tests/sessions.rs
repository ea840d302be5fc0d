//! Sessions driven by the manager, in paused time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "sessions/backend_messages.rs"]
mod backend_messages;
#[path = "sessions/backpressure.rs"]
mod backpressure;
#[path = "sessions/draining.rs"]
mod draining;
#[path = "sessions/handlers.rs"]
mod handlers;
#[path = "sessions/lifetime.rs"]
mod lifetime;
#[path = "sessions/observer.rs"]
mod observer;
#[path = "support/recorder.rs"]
mod recorder;
#[path = "sessions/reservations.rs"]
mod reservations;
#[path = "sessions/session_limit.rs"]
mod session_limit;
#[path = "sessions/shared_memory.rs"]
mod shared_memory;
#[path = "sessions/stored/mod.rs"]
mod stored;
#[path = "sessions/streams.rs"]
mod streams;
#[path = "support/backend.rs"]
mod support;
#[path = "sessions/watch.rs"]
mod watch;

use rejoin::SseEvent;

fn index_of(event: &SseEvent) -> Option<u64> {
    match event {
        SseEvent::Message { id, .. } => id.map(|id| id.index),
        SseEvent::Priming { id, .. } | SseEvent::Gap { id, .. } => Some(id.index),
    }
}
