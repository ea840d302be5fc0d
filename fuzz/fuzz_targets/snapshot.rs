//! Entry point of libFuzzer for [`rejoin_fuzz::snapshot`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = rejoin_fuzz::snapshot(data);
});
