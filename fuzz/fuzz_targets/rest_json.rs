//! Any JSON either is none of the contract's words, or is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesa::remote::api::{
    BookmarkMove, BookmarkPage, ChangeDetail, ChangePage, ChangePatch, Content, ErrorBody,
    MovedBookmark, NewBookmark, NewChange, NewRepo, Org, Repo, RepoPage, RepoPatch, StoredBlob,
    Success, Whoami, format_date, parse_date,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(text) {
        let again = serde_json::to_vec(&value).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<T>(&again).ok(), Some(value));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else {
        return;
    };
    match choice % 20 {
        0 => read::<BookmarkMove>(text),
        1 => read::<BookmarkPage>(text),
        2 => read::<ChangeDetail>(text),
        3 => read::<ChangePage>(text),
        4 => read::<ChangePatch>(text),
        5 => read::<Content>(text),
        6 => read::<ErrorBody>(text),
        7 => read::<MovedBookmark>(text),
        8 => read::<NewBookmark>(text),
        9 => read::<NewChange>(text),
        10 => read::<NewRepo>(text),
        11 => read::<Org>(text),
        12 => read::<Repo>(text),
        13 => read::<RepoPage>(text),
        14 => read::<RepoPatch>(text),
        15 => read::<StoredBlob>(text),
        16 => read::<Success>(text),
        17 => read::<Whoami>(text),
        18 => {
            if let Ok(Content::File(file)) = serde_json::from_slice(text) {
                let _whole_or_refused = file.bytes();
            }
        }
        _ => {
            let text = String::from_utf8_lossy(text);
            if let Ok(date) = parse_date(&text) {
                assert!(date.nanoseconds < 1_000_000_000);
                let again = format_date(date.seconds);
                assert!(parse_date(&again).is_ok(), "{again}");
            }
        }
    }
});
