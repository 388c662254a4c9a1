//! The extensions `objects` and `trees`: blobs and listings by their id, many in one request.
//!
//! An answer is made in steps of some hundred KiB, each on a blocking thread, and the thread is
//! given back while the client reads: a slow client holds memory for one step and nothing else.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;

use super::failure::Failure;
use super::receive::{self, Query, Segments};
use super::{Service, Shared, blocking, bytes, git, ok};
use crate::remote::api::{
    LARGE_BYTES, MissingObjects, OBJECTS_MAX, ObjectsRequest, TreeEntry, TreeListing, TreeMode,
    TreesRequest,
};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;
use crate::tree::GitOid;

/// A step ends when it has made this much.
const STEP_BYTES: usize = 256 << 10;

/// Which objects a credential may read by their id.
enum Sight {
    All,
    /// Those of one commit; none if the request names no commit.
    Commit(Option<Arc<HashSet<GitOid>>>),
}

impl Sight {
    /// A credential for some repositories sees what a commit of the repository has: a store may
    /// be shared with other repositories, or hold what nothing leads to.
    async fn of(
        service: &Shared,
        hosted: &Arc<Hosted>,
        principal: &Principal,
        commit: Option<GitOid>,
    ) -> Result<Sight, Failure> {
        if !principal.is_restricted() {
            return Ok(Sight::All);
        }
        let Some(commit) = commit else {
            return Ok(Sight::Commit(None));
        };
        let hosted = hosted.clone();
        blocking(service, move |_| {
            Ok(Sight::Commit(hosted.git.reach(commit)?))
        })
        .await
    }

    fn has(&self, oid: GitOid) -> bool {
        match self {
            Sight::All => true,
            Sight::Commit(reach) => reach.as_ref().is_some_and(|reach| reach.contains(&oid)),
        }
    }
}

/// `GET /v1/{org}/{repo}/ext/blobs/{sha}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, sha)): Segments<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let unknown = || Failure::not_found("no such blob");
    let oid: GitOid = sha.parse().map_err(|_| unknown())?;
    let commit = Query::of(&uri).parsed("commit_oid")?;
    if !Sight::of(&service, &hosted, &principal, commit)
        .await?
        .has(oid)
    {
        return Err(unknown());
    }
    let place = hosted.clone();
    let size = blocking(&service, move |service| {
        let size = place.git.blob_size(oid, &service.sizes)?;
        size.ok_or_else(unknown)
    })
    .await?;
    bytes::answer(&service, hosted, oid, size, &headers).await
}

/// `POST /v1/{org}/{repo}/ext/objects`.
pub(super) async fn objects(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let (objects, sight) = wanted(&service, &hosted, &principal, &headers, body).await?;
    let mut left = objects.into_iter();
    let step = move |service: &Service, out: &mut Vec<u8>| {
        let mut blobs = hosted.git.blobs(&service.sizes);
        while out.len() < STEP_BYTES {
            match left.next() {
                Some(oid) => write_object(&mut blobs, &sight, oid, out)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    };
    Ok(streamed(&service, "application/vnd.mesa.objects", step))
}

/// `POST /v1/{org}/{repo}/ext/blobs/missing`.
pub(super) async fn missing(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let (objects, sight) = wanted(&service, &hosted, &principal, &headers, body).await?;
    blocking(&service, move |service| {
        let mut missing = Vec::new();
        for oid in objects {
            // What the credential may not know of is as if it were not there.
            if !sight.has(oid) || hosted.git.blob_size(oid, &service.sizes)?.is_none() {
                missing.push(oid);
            }
        }
        Ok(ok(MissingObjects { missing }))
    })
    .await
}

/// The blobs that a request names, and which the credential may know of.
async fn wanted(
    service: &Shared,
    hosted: &Arc<Hosted>,
    principal: &Principal,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<GitOid>, Sight), Failure> {
    let wanted: ObjectsRequest = receive::json(service, headers, body).await?.value;
    check_count(wanted.objects.len())?;
    let sight = Sight::of(service, hosted, principal, wanted.commit_oid).await?;
    Ok((wanted.objects, sight))
}

fn write_object(
    blobs: &mut git::Blobs<'_>,
    sight: &Sight,
    oid: GitOid,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let found = match sight.has(oid) {
        true => blobs.find(oid, LARGE_BYTES)?,
        false => git::Found::Nothing,
    };
    match found {
        git::Found::Nothing => out.extend_from_slice(format!("{oid} missing\n").as_bytes()),
        git::Found::Larger(size) => {
            out.extend_from_slice(format!("{oid} large {size}\n").as_bytes());
        }
        git::Found::Blob(bytes) => {
            out.extend_from_slice(format!("{oid} blob {}\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.push(b'\n');
        }
    }
    Ok(())
}

/// `POST /v1/{org}/{repo}/ext/trees`.
pub(super) async fn trees(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let wanted: TreesRequest = receive::json(&service, &headers, body).await?.value;
    check_count(wanted.trees.len())?;
    let sight = Sight::of(&service, &hosted, &principal, wanted.commit_oid).await?;
    let mut walk = Walk {
        is_recursive: wanted.recursive,
        ..Walk::of(wanted.trees, sight, wanted.bytes_max)
    };
    let step = move |service: &Service, out: &mut Vec<u8>| {
        while out.len() < STEP_BYTES {
            let Some((_, line)) = walk.next(service, &hosted)? else {
                return Ok(false);
            };
            out.extend_from_slice(&line);
        }
        Ok(true)
    };
    Ok(streamed(&service, "application/x-ndjson", step))
}

/// Trees and, if wanted, those below them: each once, breadth first, as long as their lines have so many
/// bytes together; the first one in any case.
struct Walk {
    bytes_max: u64,
    bytes: u64,
    pending: VecDeque<GitOid>,
    known: HashSet<GitOid>,
    sight: Sight,
    is_recursive: bool,
}

impl Walk {
    fn of(trees: Vec<GitOid>, sight: Sight, bytes_max: Option<u64>) -> Walk {
        let mut walk = Walk {
            bytes_max: bytes_max.unwrap_or(u64::MAX),
            bytes: 0,
            pending: VecDeque::new(),
            known: HashSet::new(),
            sight,
            is_recursive: true,
        };
        walk.add(trees);
        walk
    }

    fn add(&mut self, trees: impl IntoIterator<Item = GitOid>) {
        let new = trees.into_iter().filter(|tree| self.known.insert(*tree));
        self.pending.extend(new);
    }

    /// The next one, and the line that tells it.
    fn next(
        &mut self,
        service: &Service,
        hosted: &Hosted,
    ) -> Result<Option<(TreeListing, Vec<u8>)>, Failure> {
        let Some(tree) = self.pending.pop_front() else {
            return Ok(None);
        };
        let children = match self.sight.has(tree) {
            true => hosted.git.children(tree, &service.sizes)?,
            false => None,
        };
        if self.is_recursive {
            let below = children.iter().flatten();
            let folders = below.filter(|child| child.kind == git::Kind::Directory);
            self.add(folders.map(|child| child.oid));
        }
        let listing = TreeListing {
            sha: tree,
            entries: children.map(|children| children.into_iter().map(entry).collect()),
        };
        let mut line = serde_json::to_vec(&listing).map_err(|error| Failure::internal(&error))?;
        line.push(b'\n');
        let is_first = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(line.len() as u64);
        Ok((is_first || self.bytes <= self.bytes_max).then_some((listing, line)))
    }
}

/// A tree that the credential may read, and those below it, as far as a [`Walk`] of so many bytes goes.
pub(super) fn listings(
    service: &Service,
    hosted: &Hosted,
    tree: GitOid,
    bytes_max: u64,
) -> Result<Vec<TreeListing>, Failure> {
    let mut walk = Walk::of(vec![tree], Sight::All, Some(bytes_max));
    let mut listings = Vec::new();
    while let Some((listing, _)) = walk.next(service, hosted)? {
        listings.push(listing);
    }
    Ok(listings)
}

fn entry(child: git::Child) -> TreeEntry {
    let (mode, size) = match child.kind {
        git::Kind::Plain => (TreeMode::Plain, Some(child.size)),
        git::Kind::Executable => (TreeMode::Executable, Some(child.size)),
        git::Kind::Symlink => (TreeMode::Symlink, Some(child.size)),
        git::Kind::Directory => (TreeMode::Directory, None),
        git::Kind::Submodule => (TreeMode::Submodule, None),
    };
    let (name, name_base64) = match String::from_utf8(child.name) {
        Ok(name) => (name, None),
        Err(error) => (
            String::from_utf8_lossy(error.as_bytes()).into_owned(),
            Some(STANDARD.encode(error.as_bytes())),
        ),
    };
    TreeEntry {
        name,
        name_base64,
        mode,
        sha: child.oid,
        size,
    }
}

fn check_count(count: usize) -> Result<(), Failure> {
    match count <= OBJECTS_MAX {
        true => Ok(()),
        false => Err(Failure::invalid(format!(
            "at most {OBJECTS_MAX} ids in one request"
        ))),
    }
}

/// An answer made by `step`, which appends to its buffer and says whether there is more. An error
/// breaks the connection off, since the status has been sent: a client sees that the end is
/// missing.
fn streamed(
    service: &Shared,
    kind: &'static str,
    step: impl FnMut(&Service, &mut Vec<u8>) -> Result<bool, Failure> + Send + 'static,
) -> Response {
    let stream = stream::try_unfold(
        (service.clone(), Some(step)),
        |(service, step)| async move {
            let Some(mut step) = step else {
                return Ok::<_, std::io::Error>(None);
            };
            let made = blocking(&service, move |service| {
                let mut out = Vec::with_capacity(STEP_BYTES);
                let has_more = step(service, &mut out)?;
                Ok((out, has_more.then_some(step)))
            })
            .await;
            match made {
                Ok((out, step)) => Ok(Some((Bytes::from(out), (service, step)))),
                Err(_) => Err(std::io::Error::other("an object could not be read")),
            }
        },
    );
    let kind = HeaderValue::from_static(kind);
    ([(CONTENT_TYPE, kind)], Body::from_stream(stream)).into_response()
}
