//! Runs [`rejoin_fuzz::snapshot`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = rejoin_fuzz::snapshot(data);
});
