//! A comparison as a patch that `git apply` takes.
//!
//! All of it is UTF-8, so that it also survives clients that make text of it: what is not, and what is
//! data or too large to be compared by lines, is said in full in Git's binary form.

use std::io::Write as _;

use gix::objs::tree::EntryMode;

use super::hunks::{Hunks, LineKind};
use super::{Comparison, Entry, TEXT_BYTES_MAX, bytes, is_binary, literal, size};
use crate::server::git::HASH;
use crate::server::git::diff::Leaf;
use crate::server::git::error::{Doing, Error};

/// Largest patch: it is in memory until it is sent.
const PATCH_BYTES_MAX: usize = 64 << 20;

impl Comparison {
    /// The whole comparison as a patch.
    ///
    /// # Errors
    ///
    /// [`Error::PatchTooLarge`] if it would not be whole.
    pub(in crate::server) fn patch(&self) -> Result<Vec<u8>, Error> {
        if self.is_cut {
            return Err(Error::PatchTooLarge);
        }
        let mut out = Vec::new();
        for entry in &self.entries {
            let is_like = |(old, _): Leaf, (new, _): Leaf| {
                (old.is_blob() && new.is_blob()) || old.kind() == new.kind()
            };
            match (entry.old, entry.new) {
                // A file does not become a link: one goes, and the other comes.
                (Some(old), Some(new)) if !is_like(old, new) => {
                    self.write(&part(entry, Some(old), None), &mut out)?;
                    self.write(&part(entry, None, Some(new)), &mut out)?;
                }
                _ => self.write(entry, &mut out)?,
            }
        }
        Ok(out)
    }

    fn write(&self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), Error> {
        let cost = [entry.old, entry.new]
            .into_iter()
            .try_fold(0, |cost, leaf| {
                let size = size(&self.repo, leaf)?.unwrap_or(0);
                Ok::<_, Error>(size.saturating_add(cost))
            })?;
        if cost > (PATCH_BYTES_MAX - out.len().min(PATCH_BYTES_MAX)) as u64 {
            return Err(Error::PatchTooLarge);
        }
        let old_path = entry.old_path.as_deref().unwrap_or(&entry.path);
        let (before, after) = (quoted("a/", old_path), quoted("b/", &entry.path));
        put(out, &[b"diff --git ", &before, b" ", &after, b"\n"]);
        // As Git shows it, which knows fewer modes than old trees have.
        let mode = |mode: EntryMode| {
            let shown = EntryMode::from(mode.kind());
            format!("{:06o}", shown.value()).into_bytes()
        };
        match (entry.old, entry.new) {
            (None, Some((new, _))) => put(out, &[b"new file mode ", &mode(new), b"\n"]),
            (Some((old, _)), None) => put(out, &[b"deleted file mode ", &mode(old), b"\n"]),
            (Some((old, _)), Some((new, _))) if old != new => {
                put(out, &[b"old mode ", &mode(old), b"\n"]);
                put(out, &[b"new mode ", &mode(new), b"\n"]);
            }
            _ => {}
        }
        if entry.old_path.is_some() {
            let similarity = format!("similarity index {}%\n", entry.similarity);
            put(out, &[similarity.as_bytes()]);
            put(out, &[b"rename from ", &quoted("", old_path), b"\n"]);
            put(out, &[b"rename to ", &quoted("", &entry.path), b"\n"]);
        }
        if entry.old.map(|(_, oid)| oid) == entry.new.map(|(_, oid)| oid) {
            return Ok(());
        }
        let oid = |leaf: Option<Leaf>| leaf.map_or(HASH.null(), |(_, oid)| oid);
        let index = format!("index {}..{}", oid(entry.old), oid(entry.new));
        put(out, &[index.as_bytes()]);
        match (entry.old, entry.new) {
            (Some((old, _)), Some((new, _))) if old == new => {
                put(out, &[b" ", &mode(new), b"\n"]);
            }
            _ => put(out, &[b"\n"]),
        }
        let (old, new) = (bytes(&self.repo, entry.old)?, bytes(&self.repo, entry.new)?);
        let is_text = [&old, &new].iter().all(|side| {
            side.len() as u64 <= TEXT_BYTES_MAX
                && !is_binary(side)
                && std::str::from_utf8(side).is_ok()
        });
        if !is_text {
            put(out, &[b"GIT binary patch\n"]);
            literal::write(&new, out).doing("writing a patch")?;
            literal::write(&old, out).doing("writing a patch")?;
            return Ok(());
        }
        // Without lines there is nothing more to say, and Git wants nothing more to be said.
        let hunks = Hunks::between(old, new);
        let header = |mark: &[u8], name: Vec<u8>, leaf: Option<Leaf>, out: &mut Vec<u8>| {
            let name = if leaf.is_some() {
                name
            } else {
                b"/dev/null".to_vec()
            };
            // After a name with spaces, a tab says where it ends.
            let end: &[u8] = if name.contains(&b' ') { b"\t\n" } else { b"\n" };
            put(out, &[mark, &name, end]);
        };
        let all = hunks.all();
        if !all.is_empty() {
            header(b"--- ", before, entry.old, out);
            header(b"+++ ", after, entry.new, out);
        }
        for hunk in all {
            writeln!(
                out,
                "@@ -{},{} +{},{} @@",
                hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines
            )
            .doing("writing a patch")?;
            for (kind, line) in hunk.lines {
                let mark: &[u8] = match kind {
                    LineKind::Context => b" ",
                    LineKind::Added => b"+",
                    LineKind::Deleted => b"-",
                };
                put(out, &[mark, line]);
                if !line.ends_with(b"\n") {
                    put(out, &[b"\n\\ No newline at end of file\n"]);
                }
            }
        }
        Ok(())
    }
}

fn part(entry: &Entry, old: Option<Leaf>, new: Option<Leaf>) -> Entry {
    Entry {
        path: entry.path.clone(),
        old_path: None,
        old,
        new,
        similarity: 0,
    }
}

fn put(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// A name as Git writes it: in quotes, with escapes, if it has what is no plain letter.
fn quoted(prefix: &str, path: &[u8]) -> Vec<u8> {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    let mut name = prefix.as_bytes().to_vec();
    if path.iter().all(|byte| is_plain(*byte)) {
        name.extend_from_slice(path);
        return name;
    }
    name.insert(0, b'"');
    for byte in path {
        if is_plain(*byte) {
            name.push(*byte);
        } else {
            name.extend_from_slice(format!("\\{byte:03o}").as_bytes());
        }
    }
    name.push(b'"');
    name
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted_when_they_must_be() {
        assert_eq!(quoted("a/", b"plain name"), b"a/plain name");
        assert_eq!(quoted("a/", "\u{fc}".as_bytes()), b"\"a/\\303\\274\"");
        assert_eq!(quoted("", b"a\"b\\\n"), b"\"a\\042b\\134\\012\"");
    }
}
