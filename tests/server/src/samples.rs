//! A minimal image and a minimal audio file.

pub(super) const PNG_TYPE: &str = "image/png";
pub(super) const WAV_TYPE: &str = "audio/wav";

/// A PNG of one red pixel, in base64.
pub(super) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";

/// A WAV of one millisecond of silence, in base64.
pub(super) const WAV: &str =
    "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";
