//! Any bytes as a name, a path, an identifier or a time are what they say, or are refused.
#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use mesa::config::ApiUrl;
use mesa::remote::RepositoryName;
use mesa::tree::{
    ChangeId, ContentHash, GitOid, NAME_BYTES_MAX, Name, PATH_BYTES_MAX, Timestamp, TreePath,
};

fn path(bytes: &[u8]) {
    let Ok(path) = TreePath::try_from(bytes) else {
        return;
    };
    assert_eq!(path.as_bytes(), bytes);
    assert!(path.as_bytes().len() <= PATH_BYTES_MAX);
    let names: Vec<Name> = path.names().collect();
    let mut again = TreePath::ROOT;
    for name in &names {
        assert!(name.as_bytes().len() <= NAME_BYTES_MAX);
        assert!(!name.as_bytes().iter().any(|byte| matches!(byte, 0 | b'/')));
        assert!(!matches!(name.as_bytes(), b"" | b"." | b".."));
        let child = again.join(name).expect("as long as the path");
        assert!(child.starts_with(&again));
        assert_eq!(child.split_last(), Some((again, name.clone())));
        again = child;
    }
    assert_eq!(again, path);
}

fn text(text: &str) {
    if let Ok(oid) = text.parse::<GitOid>() {
        assert_eq!(oid.to_string(), text);
    }
    if let Ok(hash) = text.parse::<ContentHash>() {
        assert_eq!(hash.to_string(), text);
    }
    if let Ok(change) = text.parse::<ChangeId>() {
        assert_eq!(change.to_string(), text);
    }
    if let Ok(url) = ApiUrl::try_from(text) {
        assert_eq!(ApiUrl::try_from(url.as_str()), Ok(url.clone()));
    }
    if let Some((organization, name)) = text.split_once('/')
        && let Ok(repository) = RepositoryName::new(organization, name)
    {
        assert_eq!(repository.to_string(), text);
    }
}

fuzz_target!(|input: &[u8]| {
    path(input);
    if let Ok(name) = Name::try_from(input) {
        assert_eq!(name.as_bytes(), input);
    }
    text(&String::from_utf8_lossy(input));
    if let Some((seconds, rest)) = input.split_first_chunk::<8>()
        && let Some((nanoseconds, _)) = rest.split_first_chunk::<4>()
    {
        let time = Timestamp {
            seconds: i64::from_le_bytes(*seconds),
            nanoseconds: u32::from_le_bytes(*nanoseconds) % 1_000_000_000,
        };
        assert_eq!(Timestamp::from(SystemTime::from(time)), time);
    }
});
