//! What the fuzzer may see of the index: any key and any value are read or refused, and what is read
//! is written the same.

use super::stored::{
    Meta, decode, encode, entry_key, load_entry_at, load_node_at, load_remote, node_key,
    store_entry, store_node, store_remote,
};

/// A key behind its length, and a value; the value as it is, and behind the checksum that it should
/// have, which no fuzzer would find.
pub fn index(input: &[u8]) {
    let Some((length, rest)) = input.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    read(key, value);
    read(key, &super::stored::seal(key, value));
}

fn read(key: &[u8], value: &[u8]) {
    if let Some((ino, node)) = load_node_at(key, value) {
        for time in [node.atime, node.mtime, node.ctime] {
            assert!(time.nanoseconds < 1_000_000_000);
        }
        let (key, again) = (node_key(ino), store_node(&node));
        assert_eq!(load_node_at(&key, &encode(&key, &again)), Some((ino, node)));
    }
    if let Some((directory, name, entry)) = load_entry_at(key, value) {
        let (key, again) = (entry_key(directory, &name), store_entry(entry));
        let again = load_entry_at(&key, &encode(&key, &again));
        assert_eq!(again, Some((directory, name, entry)));
    }
    if key == b"m"
        && let Some(meta) = decode::<Meta>(key, value)
        && let Some(remote) = load_remote(&meta.remote)
    {
        assert_eq!(load_remote(&store_remote(&remote)), Some(remote));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_and_findings_hold() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/upper_index");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::index(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
