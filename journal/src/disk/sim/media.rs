//! What a simulated disk holds: each file as it can be read, as it is durable, and the changes
//! between the two; the same of the names.
//!
//! State changes by [`Effect`]s only, which are values, so any earlier state can be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::random::Random;

/// A file, whatever its name.
pub(super) type FileId = u64;

/// A torn write keeps up to this many ranges: enough to have holes with something on either side.
const RANGES_MAX: u64 = 4;

/// One change of what the disk holds.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// A new file, or an old one emptied.
    Create { name: String },
    /// Bytes in the page cache.
    Write {
        file: FileId,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    /// Another length.
    Resize { file: FileId, bytes: u64 },
    /// The file is durable.
    Sync { file: FileId },
    /// A part of the file is durable and the rest never will be.
    SyncLost { file: FileId, seed: u64 },
    /// Another name.
    Rename {
        file: FileId,
        from: String,
        to: String,
    },
    /// No name.
    Remove { name: String },
    /// The names are durable.
    SyncNames,
    /// A file from outside, durable.
    Put { name: String, bytes: Arc<[u8]> },
}

#[derive(Clone, Default)]
pub(super) struct Media {
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    /// Changes of names that are not durable, oldest first.
    unsynced_names: Vec<NameChange>,
    files: BTreeMap<FileId, File>,
}

#[derive(Clone)]
enum NameChange {
    Add {
        name: String,
        file: FileId,
    },
    Move {
        from: String,
        to: String,
        file: FileId,
    },
    Remove {
        name: String,
    },
}

/// Contents are shared between clones of the disk until they change.
#[derive(Clone, Default)]
struct File {
    content: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// Changes that are not durable, oldest first.
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Resize(usize),
}

/// What a power cut leaves of unsynced changes.
#[derive(Clone, Copy)]
enum Mercy {
    Nothing,
    Everything,
    /// All up to a moment, and a part of the next.
    Prefix,
    /// Some, whole.
    Some,
    /// Some, torn, and in any order.
    Worst,
}

impl Media {
    pub(super) fn find(&self, name: &str) -> Option<FileId> {
        self.names.get(name).copied()
    }

    pub(super) fn content(&self, file: FileId) -> &[u8] {
        self.files.get(&file).map_or(&[], |file| &file.content)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// Files and folders of the top level.
    pub(super) fn entries(&self) -> Vec<String> {
        let first = |name: &String| name.split('/').next().map(str::to_owned);
        let entries: BTreeSet<String> = self.names.keys().filter_map(first).collect();
        entries.into_iter().collect()
    }

    pub(super) fn used(&self) -> u64 {
        let sizes = self.names.values().map(|file| self.content(*file).len());
        sizes.sum::<usize>() as u64
    }

    pub(super) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Create { name } => match self.find(name) {
                Some(file) => self.change(file, Change::Resize(0)),
                None => {
                    let file = self.new_file(File::default());
                    let name = name.clone();
                    self.change_name(NameChange::Add { name, file });
                }
            },
            Effect::Write {
                file,
                offset,
                bytes,
            } => {
                let (offset, bytes) = (index(*offset), Arc::clone(bytes));
                self.change(*file, Change::Write { offset, bytes });
            }
            Effect::Resize { file, bytes } => self.change(*file, Change::Resize(index(*bytes))),
            Effect::Sync { file } => self.file(*file).sync(),
            Effect::SyncLost { file, seed } => self.file(*file).sync_in_part(&mut Random(*seed)),
            Effect::Rename { file, from, to } => self.change_name(NameChange::Move {
                from: from.clone(),
                to: to.clone(),
                file: *file,
            }),
            Effect::Remove { name } => self.change_name(NameChange::Remove { name: name.clone() }),
            Effect::SyncNames => {
                self.durable_names = self.names.clone();
                self.unsynced_names.clear();
            }
            Effect::Put { name, bytes } => self.put(name, bytes),
        }
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        let content = Arc::new(bytes.to_vec());
        let file = self.new_file(File {
            durable: Arc::clone(&content),
            content,
            unsynced: Vec::new(),
        });
        self.names.insert(name.to_owned(), file);
        self.durable_names.insert(name.to_owned(), file);
    }

    fn new_file(&mut self, content: File) -> FileId {
        let id = self.files.last_key_value().map_or(1, |(last, _)| last + 1);
        self.files.insert(id, content);
        id
    }

    fn file(&mut self, file: FileId) -> &mut File {
        self.files.entry(file).or_default()
    }

    fn change(&mut self, file: FileId, change: Change) {
        let file = self.file(file);
        change.apply(Arc::make_mut(&mut file.content));
        file.unsynced.push(change);
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn after_power_cut(&self, random: &mut Random) -> Media {
        let mercy = match random.below(5) {
            0 => Mercy::Nothing,
            1 => Mercy::Everything,
            2 => Mercy::Prefix,
            3 => Mercy::Some,
            _ => Mercy::Worst,
        };
        let mut names = self.durable_names.clone();
        for change in mercy.choose(&self.unsynced_names, random).0 {
            change.apply(&mut names);
        }
        let named: BTreeSet<FileId> = names.values().copied().collect();
        let mut files = BTreeMap::new();
        for (id, file) in &self.files {
            if named.contains(id) {
                files.insert(*id, file.after_power_cut(mercy, random));
            }
        }
        Media {
            durable_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
            files,
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            NameChange::Add { name, file } => {
                names.insert(name.clone(), *file);
            }
            NameChange::Move { from, to, file } => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            NameChange::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl File {
    fn sync(&mut self) {
        if !self.unsynced.is_empty() {
            let durable = Arc::make_mut(&mut self.durable);
            for change in self.unsynced.drain(..) {
                change.apply(durable);
            }
        }
    }

    /// What Linux does after a failed write-back: the pages are clean, though they were not written.
    fn sync_in_part(&mut self, random: &mut Random) {
        let mercy = [Mercy::Nothing, Mercy::Some, Mercy::Worst];
        let choice = index(random.below(mercy.len() as u64));
        let mercy = mercy.get(choice).copied().unwrap_or(Mercy::Nothing);
        self.durable = self.after_power_cut(mercy, random).durable;
        self.unsynced.clear();
    }

    fn after_power_cut(&self, mercy: Mercy, random: &mut Random) -> File {
        let mut durable = Arc::clone(&self.durable);
        if matches!(mercy, Mercy::Worst) {
            let mut changes = self.unsynced.clone();
            shuffle(&mut changes, random);
            for change in &changes {
                match random.below(4) {
                    0 => {}
                    1 => change.apply(Arc::make_mut(&mut durable)),
                    _ => change.apply_in_part(Arc::make_mut(&mut durable), random),
                }
            }
        } else {
            let (kept, torn) = mercy.choose(&self.unsynced, random);
            for change in kept {
                change.apply(Arc::make_mut(&mut durable));
            }
            if let Some(torn) = torn {
                torn.apply_in_part(Arc::make_mut(&mut durable), random);
            }
        }
        File {
            content: Arc::clone(&durable),
            durable,
            unsynced: Vec::new(),
        }
    }
}

impl Mercy {
    /// The changes that survive whole, in order, and one of which a part does.
    fn choose<'a, T>(self, changes: &'a [T], random: &mut Random) -> (Vec<&'a T>, Option<&'a T>) {
        match self {
            Mercy::Nothing => (Vec::new(), None),
            Mercy::Everything => (changes.iter().collect(), None),
            Mercy::Prefix => {
                let count = index(random.below(changes.len() as u64 + 1));
                let (kept, lost) = changes.split_at(count);
                (kept.iter().collect(), lost.first())
            }
            Mercy::Some | Mercy::Worst => {
                let kept = changes.iter().filter(|_| random.chance(50));
                (kept.collect(), None)
            }
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => write(content, *offset, bytes),
            Change::Resize(bytes) => content.resize(*bytes, 0),
        }
    }

    /// Some of the bytes; another length as a whole, or not.
    fn apply_in_part(&self, content: &mut Vec<u8>, random: &mut Random) {
        match self {
            Change::Write { offset, bytes } => {
                for _ in 0..=random.below(RANGES_MAX) {
                    let length = bytes.len() as u64;
                    // The beginning and the end are torn as often as the middle.
                    let from = index(random.below(length * 2).saturating_sub(length));
                    let to = index((from as u64 + random.below(length * 2)).min(length));
                    if let Some(part) = bytes.get(from..to).filter(|part| !part.is_empty()) {
                        write(content, offset + from, part);
                    }
                }
            }
            Change::Resize(_) if random.chance(50) => self.apply(content),
            Change::Resize(_) => {}
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, index(random.below(last as u64 + 1)));
    }
}

/// Simulated files are small.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
