//! A Git bundle, version 2: the new blobs, the trees on the way to them, and one commit.
//!
//! ```text
//! # v2 git bundle
//! -<pinned commit>                      what the taker must have; nothing for an empty repository
//! <commit> refs/heads/mesa/<repo>-<commit>
//!
//! PACK, version, number of objects; each: kind and size, deflated bytes; SHA-1 of all that
//! ```
//!
//! Objects of the pinned commit are named, never sent, so no content that was not edited is needed.

use std::collections::HashSet;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};

use super::base::Base;
use super::error::Error;
use super::model::{Directory, Node};
use super::object::{Bytes, copy_blob, oid_of};
use super::{EMPTY_DIRECTORY, Exported, LeftOut, Work};
use crate::lower::{EntryKind, Listing, ListingEntry};
use crate::tree::{GitOid, TreePath};

/// Letters of a commit's id that tell exports of one repository apart.
const SHORT: usize = 12;

/// Writes the bundle of a tree.
pub(super) fn write(
    work: &Work<'_>,
    root: &Directory,
    base: Base<'_>,
    out: &mut impl Write,
) -> Result<Exported, Error> {
    let pin = base.0.pin();
    let mut objects = Objects::default();
    let tree = objects.directory(root, &TreePath::ROOT)?.0;
    if tree == pin.tree {
        return Err(Error::Nothing);
    }
    let parent = (pin.commit != NO_COMMIT).then_some(pin.commit);
    let commit = commit(work, tree, parent);
    let oid = objects.add("commit", commit);
    let reference = reference(work.repository, oid);

    let mut header = String::from("# v2 git bundle\n");
    if let Some(parent) = parent {
        header.push_str(&format!(
            "-{parent} the commit that the edits were made on\n"
        ));
    }
    header.push_str(&format!("{oid} {reference}\n\n"));
    out.write_all(header.as_bytes()).map_err(Error::Output)?;
    pack(&objects.list, base, out)?;
    let mut left_out = work.left_out.clone();
    left_out.extend(objects.left_out);
    Ok(Exported {
        count: objects.list.len() as u64,
        left_out,
        commit: Some((oid, reference)),
    })
}

/// The commit of the virtual root, which no repository has.
const NO_COMMIT: GitOid = GitOid([0; 20]);

fn commit(work: &Work<'_>, tree: GitOid, parent: Option<GitOid>) -> Vec<u8> {
    let parent = parent.map(|parent| format!("parent {parent}\n"));
    let person = format!(
        "{} {} +0000",
        super::patch::AUTHOR,
        work.time.seconds.max(0)
    );
    format!(
        "tree {tree}\n{}author {person}\ncommitter {person}\n\nEdits from the Mesa mount of {}/{}\n",
        parent.unwrap_or_default(),
        work.organization,
        work.repository
    )
    .into_bytes()
}

/// The ref of an export: what Git forbids in one is left out of the repository's name.
fn reference(repository: &str, commit: GitOid) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let name: String = repository
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .collect();
    let short: String = commit.to_string().chars().take(SHORT).collect();
    format!("refs/heads/mesa/{name}-{short}")
}

/// An object to be sent.
struct Object {
    kind: &'static str,
    oid: GitOid,
    bytes: Bytes,
}

#[derive(Default)]
struct Objects {
    list: Vec<Object>,
    known: HashSet<GitOid>,
    left_out: Vec<LeftOut>,
}

impl Objects {
    fn add(&mut self, kind: &'static str, bytes: Vec<u8>) -> GitOid {
        let oid = oid_of(kind, &bytes);
        self.push(Object {
            kind,
            oid,
            bytes: Bytes::Here(bytes),
        });
        oid
    }

    fn push(&mut self, object: Object) {
        if self.known.insert(object.oid) {
            self.list.push(object);
        }
    }

    /// Gathers what a directory has that the pinned commit does not; its tree, and whether that is
    /// empty.
    fn directory(
        &mut self,
        directory: &Directory,
        path: &TreePath,
    ) -> Result<(GitOid, bool), Error> {
        if let Some(oid) = directory.untouched() {
            return Ok((oid, oid == GitOid::EMPTY_TREE));
        }
        let mut entries = Vec::new();
        for (name, node) in directory.opened() {
            let (kind, oid) = match node {
                Node::Leaf(leaf) => {
                    if !leaf.bytes.is_lower() {
                        self.push(Object {
                            kind: "blob",
                            oid: leaf.oid,
                            bytes: leaf.bytes.clone(),
                        });
                    }
                    (leaf.kind, leaf.oid)
                }
                Node::Directory(below) => {
                    let path = path.join(name)?;
                    let (oid, is_empty) = self.directory(below, &path)?;
                    if is_empty {
                        if below.opened().next().is_none() {
                            self.left_out.push(LeftOut::new(&path, EMPTY_DIRECTORY));
                        }
                        continue;
                    }
                    (EntryKind::Directory, oid)
                }
            };
            entries.push(ListingEntry {
                name: name.clone(),
                kind,
                size: 0,
                oid,
            });
        }
        let is_empty = entries.is_empty();
        let tree = Listing::new(entries).map_err(Error::Store)?.git_tree();
        let oid = oid_of("tree", &tree);
        let origin = directory.origin.as_ref();
        match origin {
            Some((origin, _)) if *origin == oid => {}
            // The tree has more than we were told, which ours would silently lack.
            Some((_, from)) if !directory.is_proven => {
                return Err(Error::Unproven { path: from.clone() });
            }
            _ if is_empty && !path.is_root() => {}
            _ => {
                self.add("tree", tree);
            }
        }
        Ok((oid, is_empty))
    }
}

fn pack(objects: &[Object], base: Base<'_>, out: &mut impl Write) -> Result<(), Error> {
    let mut out = Summed {
        out,
        sum: Sha1::new(),
    };
    let count = u32::try_from(objects.len()).map_err(|_| Error::TooMany)?;
    let mut header = b"PACK\0\0\0\x02".to_vec();
    header.extend_from_slice(&count.to_be_bytes());
    out.write_all(&header).map_err(Error::Output)?;
    for object in objects {
        let number = match object.kind {
            "commit" => 1,
            "tree" => 2,
            _ => 3,
        };
        let size = object.bytes.size();
        out.write_all(&object_header(number, size))
            .map_err(Error::Output)?;
        let mut deflated = ZlibEncoder::new(&mut out, Compression::default());
        match &object.bytes {
            Bytes::Here(bytes) => deflated.write_all(bytes).map_err(Error::Output)?,
            bytes => copy_blob(bytes, object.oid, base, &mut deflated)?,
        }
        deflated.finish().map_err(Error::Output)?;
    }
    let sum: [u8; 20] = out.sum.finalize().into();
    out.out.write_all(&sum).map_err(Error::Output)
}

/// Kind and size: 4 bits of the size, then 7 a byte, the lowest first.
fn object_header(kind: u8, size: u64) -> Vec<u8> {
    let mut rest = size >> 4;
    let mut byte = kind << 4 | (size & 15) as u8;
    let mut header = Vec::new();
    while rest > 0 {
        header.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    header.push(byte);
    header
}

struct Summed<'a, W> {
    out: &'a mut W,
    sum: Sha1,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.sum.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_four_bits_and_then_seven() {
        assert_eq!(object_header(3, 5), [0x35]);
        assert_eq!(object_header(3, 16), [0xb0, 0x01]);
        assert_eq!(object_header(1, 1 << 11), [0x90, 0x80, 0x01]);
    }

    #[test]
    fn any_name_makes_a_ref() {
        let oid = GitOid([0x12; 20]);
        assert_eq!(
            reference("..a b~.lock", oid),
            "refs/heads/mesa/--a-b--lock-121212121212"
        );
    }
}
