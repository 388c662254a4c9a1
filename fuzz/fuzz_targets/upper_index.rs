//! Any key and value of the index are read, and written the same, or are in doubt.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mesa::upper::fuzzing::index(input));
