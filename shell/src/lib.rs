//! The shell around [`rejoin_core`]: a tokio driver, an HTTP service, and the
//! `rejoin` program.
//!
//! None of it is there yet. The `threads` example of the core is a whole driver
//! without a runtime.
