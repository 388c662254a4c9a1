//! What an agent does to a repository: creates, edits, saves as editors do, renames, deletes,
//! links, marks as executable; half of it online, half of it offline.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::Error;
use super::tree::{Node, Tree};

/// Bytes of the made-up binary file: a few requests of the kernel's size.
const BINARY_BYTES: usize = 3 << 20;

/// The agent: knows the mounted root, and which files and directories it may take.
pub(super) struct Agent {
    root: PathBuf,
    /// Its own directory, of a name that was free.
    own: PathBuf,
    files: std::vec::IntoIter<PathBuf>,
    edited: Option<PathBuf>,
    folder: Option<PathBuf>,
    done: usize,
}

impl Agent {
    /// Looks around in a mounted tree.
    pub(super) fn new(root: &Path, tree: &Tree) -> Agent {
        let path = |bytes: &Vec<u8>| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let taken = |name: &String| tree.0.contains_key(name.as_bytes());
        let own = (0_u32..)
            .map(|number| match number {
                0 => "mesa-demo".to_owned(),
                number => format!("mesa-demo-{number}"),
            })
            .find(|name| !taken(name))
            .unwrap_or_default();
        let files: Vec<PathBuf> = tree
            .0
            .iter()
            .filter(|(_, node)| matches!(node, Node::File { .. }))
            .map(|(bytes, _)| path(bytes))
            .collect();
        let folder = tree
            .0
            .iter()
            .find(|(bytes, node)| **node == Node::Directory && !bytes.contains(&b'/'))
            .map(|(bytes, _)| path(bytes));
        Agent {
            root: root.to_owned(),
            own: PathBuf::from(own),
            files: files.into_iter(),
            edited: None,
            folder,
            done: 0,
        }
    }

    /// Edits while the server is there; returns how many edits.
    ///
    /// # Errors
    ///
    /// What the mount says, and where.
    pub(super) fn work_online(&mut self) -> Result<usize, Error> {
        self.done = 0;
        let own = self.own.clone();
        self.act(&own.join("notes"), |path| fs::create_dir_all(path))?;
        self.act(&own.join("notes/plan.md"), |path| {
            fs::write(path, "# Plan\n\n1. look around\n")
        })?;
        self.act(&own.join("data.bin"), |path| fs::write(path, noise()))?;
        self.act(&own.join("latest"), |path| symlink("notes/plan.md", path))?;
        self.edited = self.files.next();
        if let Some(file) = self.edited.clone() {
            self.act(&file, |path| append(path, "edited by an agent\n"))?;
        }
        if let Some(file) = self.files.next() {
            self.act(&file, save_as_editors_do)?;
        }
        if let Some(file) = self.files.next() {
            self.act(&file, toggle_executable)?;
        }
        if let Some(file) = self.files.next() {
            let to = self.root.join(own.join("renamed"));
            self.act(&file, |path| fs::rename(path, &to))?;
        }
        if let Some(file) = self.files.next() {
            self.act(&file, |path| fs::remove_file(path))?;
        }
        Ok(self.done)
    }

    /// Edits while the server is away; returns how many edits.
    ///
    /// # Errors
    ///
    /// What the mount says, and where.
    pub(super) fn work_offline(&mut self) -> Result<usize, Error> {
        self.done = 0;
        let own = self.own.clone();
        self.act(&own.join("notes/plan.md"), |path| {
            append(path, "2. go on, offline\n")
        })?;
        self.act(&own.join("run.sh"), |path| {
            fs::write(path, "#!/bin/sh\necho hello\n")?;
            toggle_executable(path)
        })?;
        self.act(&own.join("empty/below"), |path| fs::create_dir_all(path))?;
        self.act(&own.join("synced"), |path| {
            let mut file = File::create(path)?;
            file.write_all(b"this one survives a power cut, too\n")?;
            file.sync_all()
        })?;
        if let Some(file) = self.edited.clone() {
            self.act(&file, |path| append(path, "and edited again\n"))?;
        }
        if let Some(file) = self.files.next() {
            self.act(&file, |path| {
                fs::remove_file(path)?;
                symlink("nowhere", path)
            })?;
        }
        if let Some(folder) = self.folder.take() {
            let mut name = folder.clone().into_os_string();
            name.push(".moved");
            let to = self.root.join(own.join(name));
            self.act(&folder, |path| fs::rename(path, &to))?;
        }
        Ok(self.done)
    }

    fn act(
        &mut self,
        path: &Path,
        action: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), Error> {
        let path = self.root.join(path);
        action(&path).map_err(Error::file(&path))?;
        self.done += 1;
        Ok(())
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(text.as_bytes())
}

fn save_as_editors_do(path: &Path) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    bytes.extend_from_slice(b"saved by way of a second file\n");
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

fn toggle_executable(path: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_mode(permissions.mode() ^ 0o111);
    fs::set_permissions(path, permissions)
}

/// Bytes that do not compress, the same in every run.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; BINARY_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_changes_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        super::super::source::write_small_tree(root).unwrap();
        let before = Tree::of_directory(root, &mut |_| {}).unwrap();
        let mut agent = Agent::new(root, &before);
        assert_eq!(agent.work_online().unwrap(), 9);
        let between = Tree::of_directory(root, &mut |_| {}).unwrap();
        assert!(before.differences(&between) >= 9);
        assert_eq!(agent.work_offline().unwrap(), 7);
        let after = Tree::of_directory(root, &mut |_| {}).unwrap();
        assert!(between.differences(&after) >= 7);
    }

    #[test]
    fn an_empty_repository_is_edited_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Agent::new(folder.path(), &Tree::default());
        agent.work_online().unwrap();
        agent.work_offline().unwrap();
    }
}
