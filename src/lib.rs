//! `mesa` mounts versioned repositories of the Mesa service as ordinary directories, for agents
//! that work in sandboxes with flaky networks and short-lived credentials. This page is the map.
//!
//! # How it works
//!
//! What a repository has at one commit is a read-only *lower layer*, listed and fetched as it is
//! looked at, into a content-addressed store that all mounts of a machine share. What is edited is an
//! *upper layer* over it. Every mutation is one record of a *journal* before it is acknowledged, and
//! a worker replays the journal to the server: it coalesces what is pending to its final effect,
//! captures that at one point of the local history, and sends it as one atomic request. So edits are
//! made at local speed, online or not, the remote always shows a prefix of the local history, and what
//! was acknowledged outlives crashes, expired tokens and dead networks.
//!
//! # Layers
//!
//! An arrow is an import; `tests/tidy.rs` holds the code to them.
//!
//! ```text
//! main -> cli -+-> daemon -+-> fuse -> overlay -+-> upper -+-> tree     journal: a crate of its own,
//!              |           |                    +-> lower -+            imports nothing of ours; used
//!              |           +-> remote -> lower::Source, secrets, tree   by overlay, upper, remote and
//!              |           +-> export -> lower, tree                    daemon; a limit by server
//!              |           +-> config -> secrets
//!              +-> server -> remote::{api, Destination}, tree
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`journal`] | the durable list of mutations: format, recovery, group commit, coalescing, the replay state machine; its bytes are described in `journal/FORMAT.md` |
//! | [`tree`] | the words that every layer shares: names, paths, ids, attributes, edits |
//! | [`lower`] | the pinned snapshot: listings and objects in a verified store, fetched once, large ones by parts that are proved when all are here; what it lacks comes through its [`lower::Source`] |
//! | [`upper`] | local changes: a state machine over journal records, bodies in files, an index in sled |
//! | [`overlay`] | the two as one tree of inodes; the one path by which anything changes; captures; the lock order |
//! | [`fuse`] | kernel request -> one overlay call -> reply; mounting; the errno table |
//! | [`remote`] | the REST contract, one attempt a call; retry policy; pushing and settling |
//! | [`export`] | captured edits as a Git bundle, a patch or a tar, and such a tar taken in again |
//! | [`daemon`] | wiring, lifecycle, replay workers, control socket |
//! | [`server`] | `mesa serve`: the same REST contract, and Git's own protocol, over bare Git repositories |
//! | [`failpoints`] | where a debug build can be made to die, for tests of crashes |
//! | [`traced`] | which spans make a trace |
//! | [`config`], [`secrets`], [`cli`] | settings and where they come from; the credential; one file a verb |
//!
//! One door each: sled in `upper/index.rs`, Git in `server/git`, the HTTP client in `remote/http`, by
//! which the server's webhooks go out too, fuser in `fuse`, clap in `cli`. Async code is in `remote` and `server` alone; all else
//! blocks, so no lock is ever held across an await.
//!
//! # A write, end to end
//!
//! 1. `fuse` calls [`overlay::Overlay::write`]. If a lower file must be copied first and is not in
//!    the store, the call fails with [`overlay::Error::Missing`], having changed nothing; a worker
//!    thread fetches and calls again, so the threads that serve the kernel never wait for a network.
//! 2. The first write since the last capture appends a `Write` record; the bytes go to the body file by
//!    `pwrite`. Both are in the page cache then and survive `kill -9`.
//!    With passthrough the kernel does the latter by itself: the record is there from the opening on,
//!    and whether bytes were written the body tells (`overlay/through.rs`).
//! 3. The reply goes out. A sync makes bodies durable first, then the journal: on `fsync`, and once an
//!    interval.
//! 4. The replay worker wakes, waits until the edits pause, captures, announces the push in the
//!    journal, sends it guarded by the commit that it builds on, and records the answer. A lost
//!    answer is settled by asking for the identifier that the push carried.
//! 5. If the bookmark is to follow, it is moved to the change, or merged with it by the server; the
//!    next push then goes to a new change on top of the published one.
//!
//! # What the kernel keeps
//!
//! Entries, attributes, listings and pages stay in the kernel until they change: we are the only ones who
//! change them, through the same kernel. By default it also opens and closes files without telling us
//! (`opens = kernel`), so what an open decided, something else does: a name that is gone keeps its node
//! until the kernel's last reference ([`overlay`] counts those anyway), a report in `.mesa/` is a node for
//! each look at it, and `mesa repo close` looks into `/proc` for whoever has a file open.
//! What it keeps costs memory here as well, so beyond a bound it is asked to let go (`daemon/pruning.rs`).
//!
//! # Lives and deaths
//!
//! In the background a mount is two processes: a supervisor of one thread, and the daemon that it
//! starts. What tells an end from a death is a word, not an exit code: a daemon that is to end says so
//! through its ready pipe before it unmounts. `daemon::supervisor` is a pure state machine
//! (`course.rs`) over a pure policy (`policy.rs`), and a shell that waits. Every command finds out in
//! `daemon::meeting` whether somebody serves, is about to, or is about to end.
//!
//! # Without a network
//!
//! A circuit breaker in [`remote`] opens when a reader's whole patience was in vain and nothing else
//! was heard; probes in the background close it, and whoever has work is told, the replay workers
//! before all. Nobody who can be served from this machine meets it: `fuse` has workers of their own
//! for what is here (large cached objects, opening, fsync), lists of repositories are told as they are
//! known and renewed in the background, and a repository that was open opens again with what it
//! showed. `daemon` compares three clocks, since time that passed without us leaves dead connections:
//! those are dropped, and a question that a kept one leaves unanswered is put again on a new one.
//!
//! # Others
//!
//! Somebody else may advance the change that takes our edits, or the bookmark. `remote::conflict`
//! compares what they did with what is about to be pushed, path by path, and only where both say
//! something different is it a conflict: recorded in the journal, then parted by forking a sibling.
//! Where nothing contradicts, ours go on top of theirs, and theirs are remembered, since the mount does
//! not show them. Whatever is decided is in the journal before it has an effect, and is decided again
//! the same way after a crash.
//!
//! # Credentials
//!
//! [`secrets`] holds what environment, files, store and command have, and chooses. Every change raises
//! a generation, and the daemon's keeper wakes the replay workers; a refused request is sent again with
//! the next credential that there is, and a refused credential is probed by one request for all. Nothing
//! that is local ever asks for one. An organization's private key is never sent: [`remote`] signs a
//! token with it for each request.
//!
//! # What is where
//!
//! `<data>/repos/<org>/<repo>/` has `journal/` (the truth), `bodies/` (bytes of edited files, by inode
//! number, on 64 shelves), `index/` (sled; deleting it costs a rebuild), `through` (there while programs
//! may write bodies without us; deleting it after a crash costs what they write on), `ignore.json` (the
//! ignore rules of the last push; deleting it costs another push), `profile` (the paths that were read;
//! deleting it costs fetching them one after the other) and `pins.json` (the paths that are pinned; the
//! store has second names of what they need). `selection.json` above them is what was opened and closed by
//! hand in an explicit mount; `<data>/secrets.*` is the store of credentials.
//! `<cache>/` has the store of objects; deleting it costs fetching again. A commit stays pinned under a
//! repository for as long as it has local edits.
//!
//! # Where this differs from the first sketch
//!
//! - Records are by path and complete for coalescing; inode numbers of lower nodes are hashes of their
//!   paths, so nothing is stored for files that were only looked at.
//! - What is ignored enters the plan of a replay like all else, and is left out where edits are made of
//!   it: so a rule may change, and a rename across its border needs no case of its own.
//! - A push is the captured final state, not a sequence of operations; that is what keeps it atomic.
//! - The index of the store is a symbolic link per object: atomic, shared, and of no memory.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod export;
pub mod failpoints;
pub mod fuse;
pub mod lower;
pub mod overlay;
pub mod remote;
pub mod secrets;
pub mod server;
pub mod traced;
pub mod tree;
pub mod upper;
