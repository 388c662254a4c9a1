//! Coalescing: `apply(effects) == apply(records)`, and the cases that agents make every day.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod model;

use journal::{AttributeChange, Effect, NodeKind, Path, Plan, Record, RenameMode, Time};
use model::{Knowledge, Operation, Tree, operation};
use proptest::prelude::*;

const FILE: NodeKind = NodeKind::File;
const DIRECTORY: NodeKind = NodeKind::Directory;

fn plan(records: &[Record]) -> Plan {
    let mut plan = Plan::new();
    records.iter().for_each(|record| plan.push(record));
    plan
}

fn seeds(plan: &Plan) -> Vec<Record> {
    let since = Time::default();
    let pending = |effect| Record::Pending { since, effect };
    plan.effects().into_iter().map(pending).collect()
}

fn run(tree: &mut Tree, operations: &[Operation]) -> Vec<Record> {
    operations
        .iter()
        .flat_map(|operation| tree.perform(operation))
        .collect()
}

fn operations(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn effects_give_what_the_records_gave(before in operations(20), after in operations(24)) {
        let mut base = Tree::default();
        run(&mut base, &before);
        let mut last = base.clone();
        let plan = plan(&run(&mut last, &after));
        let effects = plan.effects();
        prop_assert_eq!(&base.evaluate(&effects, &last, Knowledge::Full).things, &last.things);
        prop_assert_eq!(plan.is_empty(), effects.is_empty());
    }

    #[test]
    fn a_plan_may_be_stored_at_any_point(
        before in operations(20),
        first in operations(16),
        second in operations(12),
        third in operations(12),
    ) {
        let mut base = Tree::default();
        run(&mut base, &before);
        let mut last = base.clone();
        let one = plan(&run(&mut last, &first));
        prop_assert_eq!(plan(&seeds(&one)).effects(), one.effects(), "storing changes nothing");
        let two = plan(&[seeds(&one), run(&mut last, &second)].concat());
        prop_assert_eq!(plan(&seeds(&two)).effects(), two.effects());
        let three = plan(&[seeds(&two), run(&mut last, &third)].concat());
        let result = base.evaluate(&three.effects(), &last, Knowledge::Stored);
        prop_assert_eq!(result.things, last.things);
    }

    #[test]
    fn no_change_of_the_tree_is_no_effect(before in operations(20), renames in prop::collection::vec(
        (0..64_usize, 0..64_usize, 0..4_u8), 0..6))
    {
        let mut tree = Tree::default();
        run(&mut tree, &before);
        let mut records = Vec::new();
        for (node, directory, name) in renames {
            records.extend(tree.perform(&Operation::Rename { node, directory, name }));
        }
        let mut back = Vec::new();
        for record in records.iter().rev() {
            let Record::Rename { from, to, kind, mode, time } = record.clone() else { unreachable!() };
            if mode != (RenameMode::Replace { replaced: None }) {
                return Ok(()); // what was replaced is gone for good
            }
            back.push(Record::Rename { from: to, to: from, kind, mode, time });
        }
        prop_assert!(plan(&[records, back].concat()).is_empty());
    }
}

fn path(text: &str) -> Path {
    model::path(text.as_bytes())
}

fn create(at: &str, inode: u64, kind: NodeKind) -> Record {
    Record::Create {
        path: path(at),
        inode,
        node: model::node(kind),
    }
}

fn write(at: &str, inode: u64) -> Record {
    Record::Write {
        path: path(at),
        inode,
        time: Time::default(),
    }
}

fn chmod(at: &str, inode: u64) -> Record {
    let change = AttributeChange {
        permissions: Some(0o755),
        ..AttributeChange::default()
    };
    Record::SetAttributes {
        path: path(at),
        inode,
        change,
    }
}

fn gone(at: &str, kind: NodeKind) -> Record {
    Record::Remove {
        path: path(at),
        kind,
        time: Time::default(),
    }
}

fn rename(from: &str, to: &str, kind: NodeKind, replaced: Option<NodeKind>) -> Record {
    let mode = RenameMode::Replace { replaced };
    Record::Rename {
        from: path(from),
        to: path(to),
        kind,
        mode,
        time: Time::default(),
    }
}

fn exchange(one: &str, other: &str, kind: NodeKind, other_kind: NodeKind) -> Record {
    Record::Rename {
        from: path(one),
        to: path(other),
        kind,
        mode: RenameMode::Exchange { other: other_kind },
        time: Time::default(),
    }
}

fn put(at: &str, inode: u64) -> Effect {
    Effect::Put {
        path: path(at),
        inode,
    }
}

fn remove(at: &str) -> Effect {
    Effect::Remove { path: path(at) }
}

fn copy(from: &str, to: &str) -> Effect {
    Effect::Copy {
        from: path(from),
        to: path(to),
    }
}

#[track_caller]
fn assert_effects(records: &[Record], expected: &[Effect]) {
    assert_eq!(plan(records).effects(), expected);
}

#[test]
fn a_file_that_came_and_went_is_nothing() {
    assert_effects(&[create("a", 7, FILE), write("a", 7), gone("a", FILE)], &[]);
    let renamed = rename("a", "b", FILE, None);
    assert_effects(&[create("a", 7, FILE), renamed, gone("b", FILE)], &[]);
}

#[test]
fn many_stores_are_one() {
    assert_effects(
        &[write("a", 7), write("a", 7), chmod("a", 7)],
        &[put("a", 7)],
    );
}

#[test]
fn an_editors_save_is_one_store() {
    let save = [
        create(".a.tmp", 7, FILE),
        write(".a.tmp", 7),
        rename(".a.tmp", "a", FILE, Some(FILE)),
    ];
    assert_effects(&save, &[put("a", 7)]);
    let backup = [
        rename("a", "a~", FILE, None),
        create("a", 7, FILE),
        write("a", 7),
        gone("a~", FILE),
    ];
    assert_effects(&backup, &[put("a", 7)]);
}

#[test]
fn a_chain_of_renames_is_one_and_a_ring_is_none() {
    let chain = [
        rename("a", "b", DIRECTORY, None),
        rename("b", "c", DIRECTORY, None),
    ];
    assert_effects(&chain, &[remove("a"), copy("a", "c")]);
    let ring = [chain.as_slice(), &[rename("c", "a", DIRECTORY, None)]].concat();
    assert_effects(&ring, &[]);
}

#[test]
fn an_exchange_reads_both_before_it_writes_either() {
    let expected = [remove("a"), copy("b", "a"), remove("b"), copy("a", "b")];
    assert_effects(&[exchange("a", "b", FILE, DIRECTORY)], &expected);
}

#[test]
fn a_rename_that_no_file_system_does_is_nothing() {
    let written = write("d/x", 7);
    for impossible in [
        rename("d", "d", DIRECTORY, None),
        rename("d", "d/e", DIRECTORY, None),
        rename("", "d", DIRECTORY, None),
        exchange("d", "d/e", DIRECTORY, DIRECTORY),
        exchange("d/e", "d", DIRECTORY, DIRECTORY),
    ] {
        assert_effects(&[written.clone(), impossible], &[put("d/x", 7)]);
    }
    let sibling = rename("d", "d0", DIRECTORY, None);
    assert_effects(&[sibling], &[remove("d"), copy("d", "d0")]);
}

#[test]
fn a_file_in_a_files_place_needs_no_removal() {
    let moved = rename("a", "b", FILE, Some(FILE));
    assert_effects(&[moved], &[remove("a"), copy("a", "b")]);
    let changed = [chmod("f", 7), gone("f", FILE), create("f", 8, FILE)];
    assert_effects(&changed, &[put("f", 8)]);
}

#[test]
fn below_a_changed_root_everything_is_where_it_was() {
    let records = [chmod("", 1), rename("a", "b", FILE, None)];
    assert_effects(&records, &[put("", 1), remove("a"), copy("a", "b")]);
}

#[test]
fn removing_a_directory_covers_what_was_below_it() {
    let records = [
        gone("d/x", FILE),
        gone("d/e", DIRECTORY),
        gone("d", DIRECTORY),
    ];
    assert_effects(&records, &[remove("d")]);
}

#[test]
fn a_change_of_kind_removes_first() {
    assert_effects(
        &[gone("d", DIRECTORY), create("d", 7, FILE)],
        &[remove("d"), put("d", 7)],
    );
    assert_effects(
        &[gone("f", FILE), create("f", 7, DIRECTORY)],
        &[remove("f"), put("f", 7)],
    );
    assert_effects(&[gone("f", FILE), create("f", 7, FILE)], &[put("f", 7)]);
    let anew = [gone("d", DIRECTORY), create("d", 7, DIRECTORY)];
    assert_effects(&anew, &[remove("d"), put("d", 7)]);
}

#[test]
fn changes_inside_a_moved_directory_follow_it() {
    let records = [
        write("d/x", 7),
        rename("d", "e", DIRECTORY, None),
        gone("e/y", FILE),
        create("e/z", 8, FILE),
    ];
    let expected = [
        remove("d"),
        copy("d", "e"),
        put("e/x", 7),
        remove("e/y"),
        put("e/z", 8),
    ];
    assert_effects(&records, &expected);
}

#[test]
fn a_moved_directory_may_take_its_parents_place() {
    let records = [
        rename("d/e", "t", DIRECTORY, None),
        gone("d", DIRECTORY),
        rename("t", "d", DIRECTORY, None),
    ];
    assert_effects(&records, &[remove("d"), copy("d/e", "d")]);
}

#[test]
fn a_directory_whose_permissions_changed_keeps_what_is_below_it() {
    let kept = [chmod("d", 7)];
    assert_effects(&kept, &[put("d", 7)]);
    let stored = [seeds(&plan(&kept)), vec![rename("d", "e", DIRECTORY, None)]].concat();
    assert_effects(&stored, &[remove("d"), copy("d", "e"), put("e", 7)]);
}

#[test]
fn temporary_files_leave_no_trace_in_memory() {
    let mut plan = Plan::new();
    let empty = format!("{plan:?}");
    for number in 0..1000 {
        let name = format!("tmp{number}");
        plan.push(&create(&name, number, FILE));
        plan.push(&rename(&name, "t", FILE, None));
        plan.push(&gone("t", FILE));
    }
    assert_eq!(format!("{plan:?}"), empty);
}

#[test]
fn attributes_that_the_remote_does_not_keep_are_nothing() {
    let change = AttributeChange {
        uid: Some(1),
        mtime: Some(Time::default()),
        ..AttributeChange::default()
    };
    let touched = Record::SetAttributes {
        path: path("a"),
        inode: 7,
        change,
    };
    assert_effects(&[touched], &[]);
}

#[test]
fn giving_up_a_path_tells_whether_there_was_anything_to_do_at_it() {
    let mut plan = plan(&[write("d/a", 7), gone("b", FILE)]);
    assert!(plan.touches(&path("d/a")));
    assert!(!plan.touches(&path("d")), "only at this very path");
    assert!(!plan.give_up(&path("d")));
    assert_eq!(plan.effects(), [remove("b"), put("d/a", 7)]);
    assert!(plan.give_up(&path("d/a")));
    assert!(!plan.give_up(&path("d/a")), "once");
    assert!(!plan.touches(&path("d/a")));
    assert_eq!(plan.effects(), [remove("b")]);
}
