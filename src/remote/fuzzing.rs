//! What the fuzzer may see of reading answers: any bytes are an answer that can be believed, or a
//! failure.

use uuid::Uuid;

use super::failure::{Failure, Refusal};
use super::listing;
use super::push::fuzzing::mark_is_known_again;
use crate::tree::{Name, TreePath};

/// A path behind its length, and the answer about it.
pub fn directory(input: &[u8]) {
    let Some((length, rest)) = input.split_first() else {
        return;
    };
    let (path, answer) = rest.split_at(rest.len().min(usize::from(*length)));
    let Ok(path) = TreePath::try_from(path) else {
        return;
    };
    if let Ok(directory) = listing::decode(&path, answer) {
        let mut names: Vec<&Name> = directory.entries.iter().map(|entry| &entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), directory.entries.len());
        for entry in &directory.entries {
            assert!(Name::try_from(entry.name.as_bytes()).is_ok());
            assert!(i64::try_from(entry.size).is_ok());
        }
    }
}

/// A status, a `Retry-After` behind its length, and the body of an answer that is no success.
pub fn refusal(input: &[u8]) {
    let Some(([low, high, length], rest)) = input.split_first_chunk::<3>() else {
        return;
    };
    let (retry_after, body) = rest.split_at(rest.len().min(usize::from(*length)));
    let status = u16::from_le_bytes([*low, *high]);
    let refusal = Refusal::read(status, std::str::from_utf8(retry_after).ok(), body);
    if let Some(wait) = refusal.retry_after {
        assert!(std::time::Instant::now().checked_add(wait).is_some());
    }
    let failure = Failure::from(refusal);
    assert!(failure.is_answer() || failure.is_unreachable());
    assert!(failure.to_string().len() < 4096);
    let _asked_by_a_reader = crate::lower::SourceError::from(failure);
}

/// The description of a change, as settling a push reads it.
pub fn description(input: &[u8]) {
    if let Some((batch, text)) = input.split_first_chunk::<16>() {
        mark_is_known_again(&String::from_utf8_lossy(text), Uuid::from_bytes(*batch));
    }
}

#[cfg(test)]
mod tests {
    fn each_seed(target: &str, read: fn(&[u8])) {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for seed in std::fs::read_dir(seeds.join(target)).unwrap() {
            read(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn seeds_and_findings_hold() {
        each_seed("rest_listing", super::directory);
        each_seed("rest_failure", super::refusal);
        each_seed("rest_failure", super::description);
    }
}
