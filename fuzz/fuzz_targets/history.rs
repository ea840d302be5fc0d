//! Entry point of libFuzzer for [`rejoin_fuzz::history`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_fuzz::history(data));
