//! Runs [`rejoin_fuzz::history`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_fuzz::history(data));
