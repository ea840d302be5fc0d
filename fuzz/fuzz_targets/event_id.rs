//! Runs [`rejoin_fuzz::event_id`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_fuzz::event_id(data));
