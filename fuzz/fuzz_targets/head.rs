//! Runs [`rejoin_fuzz::head`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_fuzz::head(data));
