"""The official Python SDK against `mesa serve` and a mount: every resource that it has, in one story.

It runs with 0.38, which signs with API keys, and with the newest, which signs with an organization's
private key. What it leaves out, by name: `mesa.fs`, whose add-on speaks a private protocol.
"""

import asyncio
import base64
import json
import os
import pathlib
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import mesa_sdk
from mesa_sdk import FileDelete, FileUpsert, HunkFix, HunkResolution, Mesa, WholeFileResolution

ROOT = mesa_sdk.VIRTUAL_ROOT_CHANGE_ID
HAS_KEYS = hasattr(mesa_sdk.Mesa, "api_key") or "api_key" in Mesa.__annotations__
MESA = os.environ["MESA"]
URL = os.environ["MESA_API_URL"]
EVENTS = [
    "repo.created", "repo.updated", "repo.deleted", "bookmark.created", "bookmark.moved",
    "bookmark.merged", "bookmark.deleted", "change.created", "change.evolved",
]


def done(what):
    print(f"python {mesa_sdk.__version__}: {what}", flush=True)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def run(credential, *arguments, fails=False):
    """Runs mesa with a credential, and returns what it printed."""
    environment = {**os.environ, "MESA_API_KEY": credential}
    finished = subprocess.run([MESA, *arguments], env=environment, capture_output=True, text=True)
    assert (finished.returncode != 0) == fails, f"{arguments}: {finished}"
    return finished.stdout


async def refused(kind, call):
    try:
        await call
    except kind as error:
        return error
    raise AssertionError("it was not refused")


def client(credential, **options):
    name = "api_key" if HAS_KEYS else "private_key"
    return Mesa(**{name: credential}, api_url=URL, **options)


def signed():
    """Who wrote what is sent: a field of the request, or of the token."""
    return {"author": mesa_sdk.Author(name="Ann", email="ann@example.com")} if HAS_KEYS else {
        "authors": [{"name": "Ann", "email": "ann@example.com"}, {"name": "Bob", "email": None}]
    }


def listen(heard):
    """A server for webhooks; what arrives goes to a queue."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((body, dict(self.headers)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


async def until(what, condition):
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"after 30 s still not: {what}")


async def story(mesa, credential):
    who = await mesa.whoami()
    assert who.org.slug == "local", who
    before = await mesa.org.get()
    done("whoami and org.get")

    heard = []
    server = listen(heard)
    target = await mesa.webhook_targets.create(
        url=f"http://127.0.0.1:{server.server_port}/hook", name="story", events=EVENTS
    )
    listed = await mesa.webhook_targets.list()
    assert [one.id for one in listed.webhook_targets] == [target.id]
    renamed = await mesa.webhook_targets.update(webhook_target_id=target.id, name="renamed")
    assert renamed.name == "renamed"
    await mesa.webhook_targets.clear_repo_filter(webhook_target_id=target.id)
    done("webhook_targets.create, list, update, clear_repo_filter")

    repo = await mesa.repos.create(name="sdk")
    assert (repo.name, repo.default_bookmark, repo.head_change_id) == ("sdk", "main", ROOT)
    other = await mesa.repos.create()
    await refused(mesa_sdk.ConflictError, mesa.repos.create(name="sdk"))
    assert (await mesa.org.get()).num_repos == before.num_repos + 2
    page = await mesa.repos.list(limit=1)
    assert page.has_more and len(page.repos) == 1
    rest = await mesa.repos.list(limit=50, cursor=page.next_cursor)
    ids = {one.id for one in [*page.repos, *rest.repos]}
    assert {repo.id, other.id} <= ids
    wanted = "lang:en" if HAS_KEYS else {"lang": {"$in": ["en", "de"]}}
    assert (await mesa.repos.list(tags=wanted)).repos == []
    moved = await mesa.repos.update(repo=other.name, name="moved")
    assert moved.id == other.id
    assert (await mesa.repos.get(repo="moved")).id == other.id
    assert (await mesa.repos.delete(repo="moved")).success is True
    await refused(mesa_sdk.NotFoundError, mesa.repos.get(repo="moved"))
    done("repos.create, list, update, get, delete")

    try:
        sync = await mesa.repos.sync_upstream(repo="sdk", direction="pull")
        await mesa.repos.get_upstream_sync(repo="sdk", sync_id=sync.id)
    except mesa_sdk.ApiError as error:
        assert error.status_code < 500, error
    assert isinstance((await mesa.repos.list_upstream_syncs(repo="sdk")).syncs, list)
    done("repos.sync_upstream, get_upstream_sync, list_upstream_syncs")

    seed = await mesa.changes.create(
        repo="sdk", base_change_id=ROOT, message="seed", **signed(),
        files=[
            FileUpsert(path="README.md", content=encoded("one\ntwo\nthree\n")),
            FileUpsert(path="old.txt", content=encoded("old\n")),
            FileUpsert(path="bin/run", content=encoded("#!/bin/sh\n")),
        ],
    )
    assert (seed.message, seed.parents) == ("seed", [ROOT])
    if not HAS_KEYS:
        assert [(one.name, one.email) for one in seed.authors] == [
            ("Ann", "ann@example.com"), ("Bob", None)
        ], seed.authors
    at = await mesa.bookmarks.move(repo="sdk", bookmark="main", change_id=seed.id)
    assert (at.change_id, at.from_change_id) == (seed.id, ROOT)
    root = await mesa.content.get(repo="sdk", depth=10)
    assert sorted(entry.path for entry in root.entries) == [
        "README.md", "bin", "bin/run", "old.txt"
    ]
    amended = await mesa.changes.patch(
        repo="sdk", change_id=seed.id, base_commit_oid=seed.current_commit_oid, **signed(),
        files=[FileDelete(path="old.txt")],
    )
    assert amended.id == seed.id and amended.current_commit_oid != seed.current_commit_oid
    await refused(mesa_sdk.ConflictError, mesa.changes.patch(
        repo="sdk", change_id=seed.id, base_commit_oid=seed.current_commit_oid, message="x",
        **signed(),
    ))
    detail = await mesa.changes.get(repo="sdk", change_id=seed.id)
    assert sorted(detail.files) == ["README.md", "bin/run"], detail.files
    page = await mesa.changes.list(repo="sdk", bookmark="main", limit=10)
    assert page.changes[0].id == seed.id
    done("changes.create, patch, get, list; content.get; bookmarks.move")

    if HAS_KEYS:
        key = await mesa.api_keys.create(
            name="sandbox", scopes=["read", "write"], repo_ids=[repo.id], expires_in_seconds=3600
        )
        row = next(one for one in (await mesa.api_keys.list()).api_keys if one.id == key.id)
        assert (row.name, row.repo_ids) == ("sandbox", [repo.id])
        member = client(key.key)
        token = (await member.tokens.create(
            scopes=["read", "write"], repos=["local/sdk"], ttl_seconds=900
        )).token
        done("api_keys.create, list; tokens.create")
    else:
        token = run(
            credential, "token", "create", "--scope", "read,write", "--repo", "local/sdk",
            "--ttl", "15m",
        ).strip()

    run(token, "mount", "--daemonize")
    tree = pathlib.Path(os.environ["MESA_MOUNT_POINT"]) / "local/sdk"
    assert (tree / "README.md").read_text() == "one\ntwo\nthree\n"
    (tree / "README.md").write_text("one\n2\nthree\n")
    (tree / "src").mkdir()
    (tree / "src/new.py").write_text("pass\n")
    shutil.rmtree(tree / "bin")
    run(token, "journal", "flush", "--timeout", "60s")
    state = json.loads(run(token, "status", "--json"))["repos"]
    agent = next(one for one in state if one["name"] == "sdk")["change"]["id"]
    edit = await mesa.content.get(repo="sdk", change_id=agent, path="README.md")
    assert base64.b64decode(edit.content).decode() == "one\n2\nthree\n"
    await mesa.bookmarks.create(repo="sdk", name="agent/work", change_id=agent)
    history = await mesa.changes.list(repo="sdk", bookmark="agent/work")
    assert [change.id for change in history.changes] == [agent, seed.id]
    diff = await mesa.diffs.get(repo="sdk", base_change_id=seed.id, head_change_id=agent)
    found = sorted((entry.path, str(entry.status)) for entry in diff.entries)
    assert found == [("README.md", "modified"), ("bin/run", "deleted"), ("src/new.py", "added")]
    only = await mesa.diffs.get(
        repo="sdk", base_change_id=seed.id, head_change_id=agent, conflicts="only"
    )
    assert only.entries == [] and only.conflicted_entries == []
    done("a mount with a token; its edits in content, changes and diffs")

    attributed = {} if HAS_KEYS else {"authors": [{"name": "Ann"}]}
    merged = await mesa.bookmarks.merge(
        repo="sdk", target="main", source="agent/work", delete_source=True, **attributed
    )
    assert str(merged.merge_type) == "merge_commit" and merged.source_deleted
    assert (await mesa.bookmarks.get(repo="sdk", bookmark="main")).change_id == merged.change_id
    for name in ["left", "right", "third"]:
        change = await mesa.changes.create(
            repo="sdk", base_change_id=merged.change_id, message=name, **signed(),
            files=[FileUpsert(path="README.md", content=encoded(f"one\n{name}\nthree\n"))],
        )
        await mesa.bookmarks.create(repo="sdk", name=name, change_id=change.id)
    found = await mesa.bookmarks.list(repo="sdk", glob="?e*")
    assert [one.name for one in found.bookmarks] == ["left"]
    conflict = await refused(mesa_sdk.ConflictError, mesa.bookmarks.merge(
        repo="sdk", target="left", source="right", **attributed
    ))
    body = conflict.body if isinstance(conflict.body, dict) else conflict.body.to_dict()
    assert body["error"]["code"] == "MERGE_CONFLICT", body
    [hunk] = body["error"]["details"]["conflicted_entries"][0]["hunks"]
    await mesa.bookmarks.merge(
        repo="sdk", target="left", source="right", **attributed,
        resolutions=[HunkResolution(path="README.md", hunks=[
            HunkFix(hunk_id=hunk["hunk_id"], content=encoded("both\n"))
        ])],
    )
    kept = await mesa.bookmarks.merge(
        repo="sdk", target="left", source="third", allow_conflicted=True, **attributed
    )
    assert kept.is_conflicted
    conflicted = await mesa.changes.get(repo="sdk", change_id=kept.change_id)
    assert (conflicted.is_conflicted, conflicted.conflicts) == (True, ["README.md"])
    settled = await mesa.changes.patch(
        repo="sdk", change_id=kept.change_id,
        resolutions=[WholeFileResolution(path="README.md", take="target")],
    )
    assert settled.is_conflicted is False
    text = await mesa.content.get(repo="sdk", change_id=kept.change_id, path="README.md")
    assert base64.b64decode(text.content).decode() == "one\nboth\nthree\n"
    await refused(mesa_sdk.ConflictError, mesa.bookmarks.move(
        repo="sdk", bookmark="left", change_id=seed.id
    ))
    if not HAS_KEYS:
        await mesa.bookmarks.move(
            repo="sdk", bookmark="left", change_id=seed.id, allow_backwards=True
        )
    assert (await mesa.bookmarks.delete(repo="sdk", bookmark="right")).success is True
    await refused(mesa_sdk.NotFoundError, mesa.bookmarks.get(repo="sdk", bookmark="right"))
    done("bookmarks.create, list, get, merge, move, delete; conflicts by hunk, kept, and resolved")

    if HAS_KEYS:
        assert (await mesa.api_keys.revoke(key_id=key.id)).success is True
        await refused(mesa_sdk.AuthenticationError, member.repos.list(org="local"))
        (tree / "after.txt").write_text("written with a dead key\n")
        assert (tree / "after.txt").read_text() == "written with a dead key\n"
        run(token, "journal", "flush", "--timeout", "2s", fails=True)
        fresh = await mesa.tokens.create(repos=["local/sdk"], ttl_seconds=900)
        token = fresh.token
        run(token, "mount", "--daemonize")
        run(token, "journal", "flush", "--timeout", "60s")
        done("api_keys.revoke; the mount survived it, and went on with another token")
    run(token, "umount")

    await mesa.repos.delete(repo="sdk")
    receiver = client(credential, webhook_secret=target.secret)
    seen = set()
    receiver.webhooks.on(EVENTS, lambda event: seen.add(event["type"]))

    read = []

    def everything():
        return len(heard) > 0 and b"repo.deleted" in b"".join(body for body, _ in heard[-3:])

    await until("the last event was delivered", everything)
    for body, headers in heard:
        await receiver.webhooks.receive(body, headers)
        read.append(body)
    assert seen == set(EVENTS), set(EVENTS) - seen
    assert (await mesa.webhook_targets.delete(webhook_target_id=target.id)).success is True
    server.shutdown()
    done(f"webhooks.receive: {len(read)} events of {len(seen)} kinds, signed and well-formed")
    done("every resource was used")


async def main():
    credential = os.environ["ADMIN_KEY"]
    async with client(credential) as mesa:
        await story(mesa, credential)


asyncio.run(main())
