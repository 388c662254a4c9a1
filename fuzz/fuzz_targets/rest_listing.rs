//! Any answer about a directory is a listing that can be believed, or is refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mesa::remote::fuzzing::directory(input));
