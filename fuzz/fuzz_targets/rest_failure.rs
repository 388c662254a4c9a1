//! Any answer that is no success is a failure that somebody can act on; a change's description names
//! a batch or does not.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    mesa::remote::fuzzing::refusal(input);
    mesa::remote::fuzzing::description(input);
});
