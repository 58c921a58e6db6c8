#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookpost_fuzz::settings(data));
