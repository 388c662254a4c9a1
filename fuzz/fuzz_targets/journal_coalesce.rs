//! Any records, possible or not, make a plan without a panic, and so do its effects as pending
//! records; a plan without effects is an empty one. What the effects mean is the property tests'
//! part, which know what is possible.
#![no_main]

use journal::codec::decode;
use journal::{Plan, Record, Time};
use libfuzzer_sys::fuzz_target;

/// Each record is its kind, the length of its payload, and the payload.
fn records(mut input: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(([kind, length], rest)) = input.split_first_chunk::<2>() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        records.extend(decode(u16::from(*kind), payload));
        input = rest;
    }
    records
}

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new();
    for record in records(input) {
        plan.push(&record);
    }
    let effects = plan.effects();
    assert_eq!(plan.is_empty(), effects.is_empty());
    let mut again = Plan::new();
    for effect in &effects {
        let since = Time::default();
        let effect = effect.clone();
        again.push(&Record::Pending { since, effect });
    }
    let _ = again.effects();
});
