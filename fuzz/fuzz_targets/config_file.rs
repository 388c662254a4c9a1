//! Any text as a configuration file is read, or refused with words.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| mesa::config::fuzzing::text(text));
