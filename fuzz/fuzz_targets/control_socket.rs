//! Any bytes at the control socket are a request or are refused; any answer is read or is none.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mesa::daemon::control::fuzzing::bytes(input));
