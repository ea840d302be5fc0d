//! The driver of a session.
