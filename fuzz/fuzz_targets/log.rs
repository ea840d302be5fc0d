//! Entry point of libFuzzer for [`rejoin::fuzzing::log`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = rejoin::fuzzing::log(data);
});
