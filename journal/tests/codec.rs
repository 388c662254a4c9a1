//! Encoding: every record comes back as it was, and nothing else is believed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use journal::codec::{Field, PAYLOAD_BYTES_MAX, decode, encode};
use journal::{
    AttributeChange, Malformed, NodeKind, Path, Record, RenameMode, Time, Unrepresentable,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_comes_back_as_it_was(record in support::record()) {
        let mut payload = Vec::new();
        let kind = encode(&record, &mut payload).unwrap();
        prop_assert_eq!(decode(kind, &payload).unwrap(), record);
        for length in 0..payload.len() {
            prop_assert!(decode(kind, &payload[..length]).is_err(), "cut at {}", length);
        }
        payload.push(0);
        prop_assert_eq!(decode(kind, &payload), Err(Malformed::Trailing(1)));
    }

    #[test]
    fn bytes_that_decode_are_the_ones_that_encoding_gives(
        kind in 0..30_u16,
        payload in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..120),
    ) {
        if let Ok(record) = decode(kind, &payload) {
            let mut again = Vec::new();
            prop_assert_eq!(encode(&record, &mut again).unwrap(), kind);
            prop_assert_eq!(again, payload);
        }
    }
}

#[test]
fn the_largest_record_fits() {
    let path = |byte| Path(vec![byte; Field::Path.bytes_max()]);
    let rename = Record::Rename {
        from: path(b'a'),
        to: path(b'b'),
        kind: NodeKind::File,
        mode: RenameMode::Exchange {
            other: NodeKind::File,
        },
        time: Time::default(),
    };
    let attribute = Record::SetXattr {
        path: path(b'a'),
        name: vec![b'n'; Field::XattrName.bytes_max()],
        value: vec![0; Field::XattrValue.bytes_max()],
    };
    for record in [rename, attribute] {
        let mut payload = Vec::new();
        let kind = encode(&record, &mut payload).unwrap();
        assert!(payload.len() <= PAYLOAD_BYTES_MAX);
        assert_eq!(decode(kind, &payload).unwrap(), record);
    }
}

#[test]
fn what_exceeds_a_bound_is_refused() {
    let refuse = |record: Record| encode(&record, &mut Vec::new()).unwrap_err();
    let length = Field::Path.bytes_max() + 1;
    let path = Path(vec![b'a'; length]);
    assert_eq!(
        refuse(Record::Write {
            path,
            inode: 1,
            time: Time::default()
        }),
        Unrepresentable::TooLong {
            field: Field::Path,
            length
        }
    );
    let change = AttributeChange {
        permissions: Some(0o10000),
        ..AttributeChange::default()
    };
    let path = Path::default();
    assert_eq!(
        refuse(Record::SetAttributes {
            path: path.clone(),
            inode: 1,
            change
        }),
        Unrepresentable::Permissions(0o10000)
    );
    let time = Time {
        seconds: 0,
        nanoseconds: 1_000_000_000,
    };
    let kind = NodeKind::File;
    assert_eq!(
        refuse(Record::Remove { path, kind, time }),
        Unrepresentable::Nanoseconds(1_000_000_000)
    );
}

#[test]
fn unknown_numbers_are_refused_by_name() {
    assert_eq!(decode(99, &[]), Err(Malformed::Kind(99)));
    assert_eq!(decode(4, &[9]), Err(Malformed::NodeKind(9)));
    assert_eq!(
        decode(7, &[[0; 8].as_slice(), &[64]].concat()),
        Err(Malformed::Attributes(64))
    );
}

#[test]
fn what_could_not_have_been_written_is_not_read() {
    let attributes =
        |bits: u8, value: &[u8]| decode(7, &[[0; 8].as_slice(), &[bits], value].concat());
    let permissions = attributes(1, &0o10000_u16.to_le_bytes());
    assert_eq!(permissions, Err(Malformed::Permissions(0o10000)));
    let time = [0_i64.to_le_bytes().as_slice(), &u32::MAX.to_le_bytes()].concat();
    assert_eq!(attributes(8, &time), Err(Malformed::Nanoseconds(u32::MAX)));
}
