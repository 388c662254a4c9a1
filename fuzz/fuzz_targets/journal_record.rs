//! Any bytes either are no record, or are exactly what encoding their record gives.
#![no_main]

use journal::codec::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([kind, _], payload)) = input.split_first_chunk::<2>() else {
        return;
    };
    if let Ok(record) = decode(u16::from(*kind), payload) {
        let mut again = Vec::new();
        assert_eq!(encode(&record, &mut again), Ok(u16::from(*kind)));
        assert_eq!(again, payload);
    }
});
