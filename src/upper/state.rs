//! The state: nodes, entries, and the questions that are asked of them.
//!
//! Invariants:
//! - every ancestor of a node with a name is a node here too, up to the root, so a record's path is
//!   walked without asking the lower layer;
//! - `names` of a node are exactly the entries that point to it;
//! - an entry's `covers` says whether the lower directory has something of that name beneath. It is
//!   never told but follows: a node adopted in place covers what it was adopted from, taking the
//!   place of a visible thing that has no entry covers it, a new name without an entry covers nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use journal::{ConflictKind, Sequence};

use super::tally::Tally;
use crate::tree::{ChangeId, GitOid, Ino, Kind, Name, Permissions, Timestamp, TreePath};

/// Where the lower layer has what a node shows through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Path in the pinned commit.
    pub path: TreePath,
    /// Blob of a file or symbolic link, tree of a directory.
    pub oid: GitOid,
    /// Bytes of the blob; 0 for a directory.
    pub size: u64,
}

/// A node of the upper layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Mode bits.
    pub permissions: Permissions,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, else 0.
    pub rdev: u32,
    /// Target of a symbolic link that was made here; one of the lower layer is read from there.
    pub target: Vec<u8>,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of the content; of a file with a body, the body file's own mtime counts instead.
    pub mtime: Timestamp,
    /// Last change of content or attributes; the later of this and the body file's counts.
    pub ctime: Timestamp,
    /// What shows through: a directory's lower listing, or a file's bytes while it has no body.
    pub origin: Option<Origin>,
    /// Whether the bytes are in the body file.
    pub body: bool,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The entries that point here; none for the root and for an open file that was removed.
    pub names: Vec<(Ino, Name)>,
}

/// What the upper layer says of one name in one directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The node that stands there; `None` is a whiteout.
    pub node: Option<Ino>,
    /// Whether the lower directory has something of this name, which this entry hides.
    pub covers: bool,
}

/// What is known of the remote side of this history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RemoteState {
    /// Bookmark that the pinned commit was found by.
    pub bookmark: Option<String>,
    /// Change, commit, tree and commit time that the lower layer shows.
    pub pin: Option<(ChangeId, GitOid, GitOid, Timestamp)>,
    /// Transaction under which the fork was announced.
    pub fork: Option<[u8; 16]>,
    /// The published change that the fork continues; `None` when it was made on the pinned one.
    pub continues: Option<ChangeId>,
    /// The change that takes the edits, and its last known commit.
    pub change: Option<(ChangeId, GitOid)>,
    /// A push that was announced and has no recorded outcome.
    pub intended: Option<(Sequence, [u8; 16])>,
    /// The last record that the remote accepted.
    pub pushed: Sequence,
    /// Since when a person wants nothing to be pushed.
    pub held: Option<Timestamp>,
    /// A publication that was announced and has no recorded outcome.
    pub publishing: Option<Publishing>,
    /// The last change that a bookmark was given, with the bookmark.
    pub published: Option<(ChangeId, String)>,
    /// Conflicts that nobody has settled, oldest first.
    pub conflicts: Vec<Conflict>,
}

impl RemoteState {
    /// The conflicts that a person has to settle.
    pub fn open_conflicts(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.iter().filter(|one| !one.is_beside())
    }

    /// Whether the change that takes the edits was published, so that what comes next must go to a
    /// new one on top of it.
    pub fn is_published(&self) -> bool {
        match (&self.change, &self.published) {
            (Some((change, _)), Some((published, _))) => change == published,
            _ => false,
        }
    }
}

/// A bookmark that is about to get a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publishing {
    /// Identifies the attempt, also to the server.
    pub id: [u8; 16],
    /// The change.
    pub change: ChangeId,
    /// Its commit.
    pub commit: GitOid,
    /// The bookmark.
    pub bookmark: String,
}

/// Work of ours and of somebody else that contradict each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Identifies it.
    pub id: [u8; 16],
    /// How it came about.
    pub kind: ConflictKind,
    /// Of a foreign edit: the change that both edited. Of publishing: our change.
    pub change: ChangeId,
    /// The last commit of `change` that has nothing of theirs.
    pub base: GitOid,
    /// The commit that has theirs.
    pub theirs: GitOid,
    /// The bookmark that was to be published to.
    pub bookmark: Option<String>,
    /// The change that took our side, once there is one. The same as `change` when theirs contradicted
    /// nothing, so that ours went on top of them: then it is no conflict, but may become one, and the
    /// paths are those that both wrote alike. See [`Conflict::is_beside`].
    pub sibling: Option<ChangeId>,
    /// When it was found.
    pub time: Timestamp,
    /// The paths that it is about.
    pub paths: Vec<TreePath>,
}

impl Conflict {
    /// Whether this only remembers edits of somebody else that stand beside ours in one change: what
    /// is pushed later must not contradict them.
    pub fn is_beside(&self) -> bool {
        self.kind == ConflictKind::Foreign && self.sibling == Some(self.change)
    }

    /// Whether ours have no change of their own yet.
    pub fn waits_for_sibling(&self) -> bool {
        self.kind == ConflictKind::Foreign && self.sibling.is_none()
    }
}

/// Inode numbers from here on are hashes of lower paths; new nodes get smaller ones.
pub(crate) const ADOPTED_BIT: u64 = 1 << 47;

/// Children of one directory, in directory order.
pub(super) type Children = BTreeMap<(u64, Name), Entry>;

/// The upper layer's state. See the module's page for the invariants.
#[derive(Debug)]
pub struct Upper {
    pub(super) nodes: HashMap<Ino, Node>,
    pub(super) children: HashMap<Ino, Children>,
    /// Of every directory with entries.
    pub(super) tallies: HashMap<Ino, Tally>,
    pub(super) next: u64,
    pub(super) remote: RemoteState,
    /// Paths whose change a person gave up, and that have not changed since.
    pub(super) given_up: BTreeSet<TreePath>,
    /// Changed since the index was last written.
    pub(super) changed_nodes: HashSet<Ino>,
    pub(super) changed_entries: HashSet<(Ino, Name)>,
}

impl Default for Upper {
    fn default() -> Upper {
        let root = Node {
            kind: Kind::Directory,
            permissions: Permissions::DIRECTORY,
            uid: 0,
            gid: 0,
            rdev: 0,
            target: Vec::new(),
            atime: Timestamp::default(),
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            origin: None,
            body: false,
            xattrs: BTreeMap::new(),
            names: Vec::new(),
        };
        Upper {
            nodes: HashMap::from([(Ino::ROOT, root)]),
            children: HashMap::new(),
            tallies: HashMap::new(),
            next: Ino::ROOT.0 + 1,
            remote: RemoteState::default(),
            given_up: BTreeSet::new(),
            changed_nodes: HashSet::new(),
            changed_entries: HashSet::new(),
        }
    }
}

impl Upper {
    /// The node of that number, if it is in the upper layer.
    pub fn node(&self, ino: Ino) -> Option<&Node> {
        self.nodes.get(&ino)
    }

    /// What the upper layer says of a name; `None` leaves it to the lower layer.
    pub fn entry(&self, directory: Ino, name: &Name) -> Option<Entry> {
        self.children
            .get(&directory)?
            .get(&(name.cookie(), name.clone()))
            .copied()
    }

    /// The entries of a directory from the first whose cookie is above `cookie`, in order.
    pub fn entries_after(
        &self,
        directory: Ino,
        cookie: u64,
    ) -> impl Iterator<Item = (u64, &Name, Entry)> {
        let from = (cookie.saturating_add(1), Name::lowest());
        self.children
            .get(&directory)
            .into_iter()
            .flat_map(move |children| children.range(from.clone()..))
            .map(|((position, name), entry)| (*position, name, *entry))
    }

    /// The remote side of this history.
    pub fn remote(&self) -> &RemoteState {
        &self.remote
    }

    /// Whether a person gave up the change of this path, and it has not changed since.
    pub fn is_given_up(&self, path: &TreePath) -> bool {
        self.given_up.contains(path)
    }

    /// The number that the next new node will get.
    pub fn next_ino(&self) -> Ino {
        Ino(self.next)
    }

    /// Whether any node or whiteout is here, other than the root.
    pub fn is_pristine(&self) -> bool {
        self.nodes.len() == 1 && self.children.values().all(BTreeMap::is_empty)
    }

    /// Nodes and entries: what a snapshot has records for.
    pub fn size(&self) -> usize {
        let entries: usize = self.children.values().map(BTreeMap::len).sum();
        self.nodes.len() + entries
    }

    /// The numbers of all nodes with a body.
    pub fn bodies(&self) -> impl Iterator<Item = Ino> + '_ {
        self.nodes
            .iter()
            .filter(|(_, node)| node.body)
            .map(|(ino, _)| *ino)
    }

    /// Forgets a node that has no name any more. The caller deletes its body.
    pub fn drop_nameless(&mut self, ino: Ino) -> bool {
        let nameless = ino != Ino::ROOT
            && self
                .nodes
                .get(&ino)
                .is_some_and(|node| node.names.is_empty());
        if nameless {
            self.nodes.remove(&ino);
            self.children.remove(&ino);
            self.tallies.remove(&ino);
            self.changed_nodes.insert(ino);
        }
        nameless
    }

    /// Says that a body is gone: the file shows the lower layer's bytes again, or is gone itself.
    pub fn lose_body(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get_mut(&ino) else {
            return;
        };
        node.body = false;
        if node.origin.is_some() {
            return;
        }
        let names = std::mem::take(&mut node.names);
        self.nodes.remove(&ino);
        for (directory, name) in names {
            let entries = self.children.entry(directory).or_default();
            let place = (name.cookie(), name);
            match entries.get_mut(&place) {
                // What it covered stays covered: it would show something older than what is lost.
                Some(entry) if entry.covers => entry.node = None,
                _ => {
                    entries.remove(&place);
                }
            }
        }
    }

    /// Forgets what the remote has of this history, so that everything goes to a new change. What
    /// people decided, and what is shown below, stays.
    pub fn forget_remote(&mut self) {
        let remote = &mut self.remote;
        (remote.fork, remote.continues, remote.change) = (None, None, None);
        (remote.intended, remote.publishing, remote.published) = (None, None, None);
        remote.pushed = Sequence::ZERO;
    }

    /// The numbers of all nodes without a name: files that were removed while open.
    pub fn nameless(&self) -> Vec<Ino> {
        self.nodes
            .iter()
            .filter(|(ino, node)| **ino != Ino::ROOT && node.names.is_empty())
            .map(|(ino, _)| *ino)
            .collect()
    }

    /// Puts a node here that has no name and that no record will ever tell of: an open file of the
    /// lower layer that was removed and is now written to. It dies with its last open.
    pub fn insert_nameless(&mut self, ino: Ino, node: Node) {
        debug_assert!(node.names.is_empty());
        self.nodes.insert(ino, node);
    }

    /// Says that a nameless file's bytes are in its body; no record could.
    pub fn set_nameless_body(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.body = true;
        }
    }

    /// Changes the attributes of a node without a record: only for nameless ones.
    pub fn nameless_mut(&mut self, ino: Ino) -> Option<&mut Node> {
        self.nodes
            .get_mut(&ino)
            .filter(|node| ino != Ino::ROOT && node.names.is_empty())
    }

    /// The node at a path, walking upper entries alone.
    pub fn resolve(&self, path: &TreePath) -> Option<Ino> {
        path.names().try_fold(Ino::ROOT, |directory, name| {
            self.entry(directory, &name)?.node
        })
    }

    /// A path of a node, by the first of its names; `None` for one that has none, or whose path
    /// has grown too long by renames of its ancestors.
    pub fn path_of(&self, ino: Ino) -> Option<TreePath> {
        let mut names = Vec::new();
        let mut current = ino;
        while current != Ino::ROOT {
            let (parent, name) = self.node(current)?.names.first()?;
            names.push(name);
            current = *parent;
        }
        names
            .iter()
            .rev()
            .try_fold(TreePath::ROOT, |path, name| path.join(name))
            .ok()
    }

    /// What path the lower layer would look up for a name, if the directory shows it through.
    pub fn lower_path(&self, (directory, name): &(Ino, Name)) -> Option<TreePath> {
        let origin = self.node(*directory)?.origin.as_ref()?;
        origin.path.join(name).ok()
    }

    /// Whether a node stands where the lower layer has what it was adopted from.
    pub fn is_in_place(&self, ino: Ino, path: &TreePath) -> bool {
        let origin = self.node(ino).and_then(|node| node.origin.as_ref());
        let beneath = path.split_last().and_then(|(parent, name)| {
            let directory = self.resolve(&parent)?;
            self.lower_path(&(directory, name))
        });
        origin.is_some_and(|origin| beneath.as_ref() == Some(&origin.path))
    }
}
