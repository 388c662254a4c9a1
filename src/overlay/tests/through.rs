//! Files that somebody writes without telling us. The kernel's part is played by a descriptor of the body:
//! as with a passage, its writes are no calls of ours, and it outlives our death.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use journal::Sequence;

use super::remote::{Item, Tree, apply, sample};
use super::support::{Fixture, OWNER};
use crate::overlay::{
    Aim, AttributeChange, Capture, Error, Overlay, Pages, Passage, Scope, Way, XattrMode,
};
use crate::tree::{Attributes, Content, Edit, GitOid, Ino, Name, Permissions};

/// More than a tick of the clock that ctimes are of: what is written before is certainly before.
pub(super) fn tick() {
    std::thread::sleep(Duration::from_millis(25));
}

/// A passage that is kept by the file behind it.
pub(super) fn kept(body: &File) -> Option<Passage> {
    Some(Arc::new(body.try_clone().unwrap()))
}

/// The other end of a passage: a descriptor that stays when the passage goes.
pub(super) fn kernel(way: &Way) -> File {
    match way {
        Way::Through(passage) => {
            let body: &File = passage.downcast_ref().unwrap();
            body.try_clone().unwrap()
        }
        Way::Asking(_) => panic!("not passed"),
    }
}

struct Case {
    fixture: Fixture,
    base: Tree,
    remote: Tree,
}

impl Case {
    fn new() -> Case {
        let base = sample();
        Case {
            fixture: Fixture::new(&base),
            remote: base.clone(),
            base,
        }
    }

    fn overlay(&self) -> &Overlay {
        self.fixture.overlay()
    }

    /// A new file, and who writes it.
    fn create(&self, name: &str) -> (Ino, File) {
        let name = Name::try_from(name).unwrap();
        let made = self.fixture.call(|overlay| {
            let permissions = Permissions::of_mode(0o644);
            let place = (Ino::ROOT, &name);
            overlay.create_through(place, permissions, OWNER, Aim::Writing, &mut kept)
        });
        let (attributes, way) = made.unwrap();
        let times = |shown: Attributes| (shown.mtime, shown.ctime);
        let shown = self.overlay().attributes(attributes.ino).unwrap();
        assert_eq!(times(attributes), times(shown));
        (attributes.ino, kernel(&way))
    }

    fn open(&self, ino: Ino, aim: Aim) -> Result<Way, Error> {
        self.overlay().open_through(ino, aim, &mut kept)
    }

    fn capture(&self) -> Option<Capture> {
        tick();
        let scope = match self.overlay().remote().pushed {
            Sequence::ZERO => Scope::Everything,
            _ => Scope::Pending,
        };
        let capture = self.fixture.call(|overlay| overlay.capture(scope));
        capture.unwrap()
    }

    fn push(&mut self) {
        let capture = self.capture().unwrap();
        apply(&mut self.remote, &self.base, &capture.edits);
        let overlay = self.overlay();
        if overlay.remote().change.is_none() {
            let change = crate::tree::ChangeId([3; 16]);
            overlay.record_forked(change, GitOid([4; 20])).unwrap();
        }
        let commit = GitOid([1; 20]);
        overlay.record_pushed(capture.through, commit).unwrap();
    }

    fn at_remote(&self, path: &str) -> &[u8] {
        match &self.remote[path] {
            Item::File { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        }
    }
}

fn add(body: &File, bytes: &[u8]) {
    let mut body = body;
    std::io::Seek::seek(&mut body, std::io::SeekFrom::End(0)).unwrap();
    body.write_all(bytes).unwrap();
}

#[test]
fn what_a_writer_adds_is_pushed_while_it_goes_on() {
    let mut case = Case::new();
    let (ino, body) = case.create("log");
    assert!(case.overlay().attributes(ino).unwrap().volatile);
    add(&body, b"one ");
    case.push();
    assert_eq!(case.at_remote("log"), b"one ");
    for words in [&b"two "[..], b"three "] {
        assert!(!case.overlay().has_pending(), "nothing was written");
        assert_eq!(case.overlay().pending_effects(), []);
        assert_eq!(case.overlay().unpushed_records().unwrap(), []);
        assert!(case.capture().is_none());
        tick();
        add(&body, words);
        assert_eq!(case.overlay().pending().operations, 1);
        assert_eq!(case.overlay().unpushed_records().unwrap().len(), 1);
        case.push();
    }
    assert_eq!(case.at_remote("log"), b"one two three ");
    case.overlay().release_writer(ino);
    // A map is left: the kernel has released the file, and its body changes all the same.
    assert_eq!(case.overlay().usage().written_unseen, 1);
    tick();
    add(&body, b"four");
    case.push();
    assert_eq!(case.at_remote("log"), b"one two three four");
    drop(body);
    case.overlay().sync_in_background().unwrap();
    assert_eq!(case.overlay().usage().written_unseen, 0);
    assert!(!case.overlay().attributes(ino).unwrap().volatile);
    case.fixture.reopen();
    assert!(!case.overlay().has_pending(), "a record stood for nothing");
}

#[test]
fn the_last_words_of_a_writer_are_seen_at_its_end() {
    let mut case = Case::new();
    let (ino, body) = case.create("log");
    case.push();
    tick();
    add(&body, b"last words");
    drop(body);
    case.overlay().release_writer(ino);
    assert_eq!(case.overlay().usage().written_unseen, 0);
    case.push();
    assert_eq!(case.at_remote("log"), b"last words");
}

#[test]
fn who_writes_on_after_our_death_is_found_and_followed() {
    let mut case = Case::new();
    let (_, body) = case.create("log");
    let (_, other) = case.create("quiet");
    add(&body, b"one ");
    case.push();
    drop(other);
    tick();
    case.fixture.close();
    add(&body, b"two ");
    case.fixture.reopen();
    assert_eq!(
        case.overlay().usage().written_unseen,
        1,
        "the other has no writer"
    );
    add(&body, b"three ");
    assert!(case.overlay().has_pending());
    case.push();
    assert_eq!(case.at_remote("log"), b"one two three ");
    assert!(!case.overlay().has_pending());
    tick();
    add(&body, b"four");
    // What has its pages from before would not see it.
    let ino = case.fixture.find("log").unwrap();
    let mut refuse = |_: &File| None;
    let way = case.overlay().open_through(ino, Aim::Reading, &mut refuse);
    assert!(matches!(way, Ok(Way::Asking(Pages::Dropped))));
    case.overlay().release(ino);
    case.push();
    assert_eq!(case.at_remote("log"), b"one two three four");
    case.overlay().close().unwrap();
    case.fixture.reopen();
    assert_eq!(
        case.overlay().usage().written_unseen,
        1,
        "also after an end in order"
    );
    case.push();
    drop(body);
    case.overlay().sync_in_background().unwrap();
    case.overlay().close().unwrap();
    assert!(!case.fixture.folder().join("repo/through").exists());
}

#[test]
fn compaction_leaves_the_record_that_stands() {
    let mut case = Case::new();
    let (_, body) = case.create("log");
    add(&body, b"one ");
    case.push();
    case.overlay().checkpoint().unwrap();
    case.overlay().compact().unwrap();
    assert!(!case.overlay().has_pending());
    case.fixture.close();
    add(&body, b"two");
    case.fixture.reopen();
    case.push();
    assert_eq!(case.at_remote("log"), b"one two");
}

#[test]
fn a_name_may_change_while_somebody_writes() {
    let mut case = Case::new();
    let (ino, body) = case.create("log");
    add(&body, b"one ");
    case.push();
    let name = |text: &str| Name::try_from(text).unwrap();
    let overlay = case.overlay();
    overlay.link(ino, Ino::ROOT, &name("other")).unwrap();
    let replace = crate::overlay::Rename::Replace;
    case.fixture
        .call(|overlay| overlay.rename(Ino::ROOT, &name("log"), Ino::ROOT, &name("moved"), replace))
        .unwrap();
    case.push();
    tick();
    add(&body, b"two");
    case.push();
    assert_eq!(case.at_remote("other"), b"one two");
    assert_eq!(case.at_remote("moved"), b"one two");
    assert!(!case.remote.contains_key("log"));
    for gone in ["other", "moved"] {
        let remove = |overlay: &Overlay| overlay.remove_file(Ino::ROOT, &name(gone));
        case.fixture.call(remove).unwrap();
    }
    case.push();
    tick();
    add(&body, b"nobody reads it");
    assert!(!case.overlay().has_pending());
    case.overlay().release_writer(ino);
    case.overlay().forget(ino, 2);
    assert_eq!(case.overlay().usage().written_unseen, 0);
}

#[test]
fn a_capture_tells_that_it_was_written_to_since() {
    let case = Case::new();
    let (_, body) = case.create("log");
    add(&body, b"one");
    let capture = case.capture().unwrap();
    let content = capture.edits.iter().find_map(|edit| match edit {
        Edit::File { content, .. } => Some(content),
        _ => None,
    });
    let Some(Content::Body(source)) = content else {
        panic!("{capture:?}");
    };
    drop(source.open().unwrap());
    assert!(source.is_unchanged());
    add(&body, b"two");
    assert!(!source.is_unchanged());
    case.overlay().abandon_capture();
    // A copy does not change, and what came since is work.
    tick();
    let copies = case
        .fixture
        .call(|overlay| overlay.capture_copies(Scope::Everything));
    let copies = copies.unwrap().unwrap();
    add(&body, b"three");
    let mut remote = case.base.clone();
    apply(&mut remote, &case.base, &copies.edits);
    assert!(matches!(&remote["log"], Item::File { bytes, .. } if bytes == b"onetwo"));
    let commit = GitOid([1; 20]);
    case.overlay()
        .record_pushed(copies.through, commit)
        .unwrap();
    assert!(case.overlay().has_pending());
}

#[test]
fn a_sync_covers_what_was_written_without_us() {
    let case = Case::new();
    let (_, body) = case.create("log");
    tick();
    case.overlay().sync_all().unwrap();
    assert!(case.overlay().is_durable());
    add(&body, b"one");
    assert!(!case.overlay().is_durable());
    tick();
    case.overlay().sync_in_background().unwrap();
    assert!(case.overlay().is_durable());
}

#[test]
fn all_opens_of_a_file_are_of_one_kind() {
    let case = Case::new();
    let (ino, body) = case.create("new");
    let first = case.open(ino, Aim::Reading).unwrap();
    let second = case.open(ino, Aim::Writing).unwrap();
    match (&first, &second) {
        (Way::Through(first), Way::Through(second)) => assert!(Arc::ptr_eq(first, second)),
        ways => panic!("{ways:?}"),
    }
    drop((first, second, body));
    case.overlay().release(ino);
    case.overlay().release_writer(ino);
    case.overlay().release_writer(ino);
    assert_eq!(case.overlay().open_files(), 0);
    // Pages from before are of no use once.
    case.overlay().open(ino).unwrap();
    let asked = case.open(ino, Aim::Writing);
    assert!(matches!(asked, Ok(Way::Asking(Pages::Dropped))));
    let asked = case.open(ino, Aim::Writing);
    assert!(matches!(asked, Ok(Way::Asking(Pages::Kept))));
    for _ in 0..3 {
        case.overlay().release(ino);
    }
    let lower = case.fixture.find("a/one").unwrap();
    assert!(matches!(case.open(lower, Aim::Writing), Ok(Way::Asking(_))));
}

#[test]
fn what_has_privileges_is_not_passed() {
    let case = Case::new();
    let (ino, body) = case.create("program");
    drop(body);
    case.overlay().release_writer(ino);
    let set_mode = |mode| {
        let change = AttributeChange {
            permissions: Some(Permissions::of_mode(mode)),
            ..AttributeChange::default()
        };
        case.overlay().set_attributes(ino, &change).unwrap();
    };
    let is_passed = || {
        let way = case.open(ino, Aim::Reading).unwrap();
        case.overlay().release(ino);
        matches!(way, Way::Through(_))
    };
    assert!(is_passed());
    for mode in [0o4755, 0o2755] {
        set_mode(mode);
        assert!(!is_passed(), "{mode:o}");
    }
    set_mode(0o755);
    assert!(is_passed());
    let name = b"security.capability";
    case.overlay()
        .set_xattr(ino, name, b"some", XattrMode::Any)
        .unwrap();
    assert!(!is_passed());
}
