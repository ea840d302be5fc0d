//! Entry point of libFuzzer for [`rejoin_fuzz::head`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_fuzz::head(data));
