//! Runs [`rejoin_fuzz::peek`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_fuzz::peek(data));
