// The official TypeScript SDK against `mesa serve` and a mount: every resource that it has, in one
// story. What it leaves out, by name: `mesa.fs.mount`, whose add-on speaks a private protocol.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { Mesa, MesaApiError, VIRTUAL_ROOT_CHANGE_ID } from '@mesadev/sdk';

const { MESA, MESA_API_URL: apiUrl, MESA_MOUNT_POINT: mountPoint, ADMIN_KEY: apiKey } = process.env;
const base64 = (text) => Buffer.from(text).toString('base64');
const author = { name: 'Ann', email: 'ann@example.com' };
const done = (what) => console.log(`typescript: ${what}`);

/** Runs mesa with a credential, and returns what it printed. */
function run(credential, ...args) {
  return execFileSync(MESA, args, { env: { ...process.env, MESA_API_KEY: credential }, encoding: 'utf8' });
}

async function refused(promise, status, code) {
  const error = await promise.then(() => assert.fail('it was not refused'), (error) => error);
  assert.ok(error instanceof MesaApiError, String(error));
  assert.deepEqual([error.status, error.code], [status, code], error.message);
  return error;
}

/** Waits until a condition holds. */
async function until(what, condition) {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`after 30 s still not: ${what}`);
}

const mesa = new Mesa({ apiKey, apiUrl });
const who = await mesa.whoami();
assert.equal(who.org.slug, 'local');
assert.deepEqual(who.scopes, ['read', 'write', 'admin']);
const before = await mesa.org.get();
done('whoami and org.get');

// Webhooks: delivered to a server of ours, read by the SDK, which checks signature and shape.
const heard = [];
let secret;
const listener = createServer(async (incoming, response) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const request = new Request('http://127.0.0.1/', {
    method: 'POST', headers: incoming.headers, body: Buffer.concat(chunks),
  });
  try {
    const receiver = new Mesa({ apiKey, apiUrl, webhookSecret: secret });
    receiver.webhooks.on(
      ['repo.created', 'repo.updated', 'repo.deleted', 'bookmark.created', 'bookmark.moved',
        'bookmark.merged', 'bookmark.deleted', 'change.created', 'change.evolved', 'push'],
      (event) => { heard.push(event); },
    );
    await receiver.webhooks.receive(request);
    response.writeHead(200).end();
  } catch (error) {
    console.error('webhook:', error, Buffer.concat(chunks).toString());
    heard.push({ type: 'unreadable' });
    response.writeHead(400).end();
  }
});
await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
const target = await mesa.webhookTargets.create({
  url: `http://127.0.0.1:${listener.address().port}/hook`, name: 'story',
  events: ['repo.created', 'repo.updated', 'repo.deleted', 'bookmark.created', 'bookmark.moved',
    'bookmark.merged', 'bookmark.deleted', 'change.created', 'change.evolved'],
});
secret = target.secret;
assert.ok(secret.length > 20);
const targets = await mesa.webhookTargets.list();
assert.deepEqual(targets.webhook_targets.map((one) => one.id), [target.id]);
assert.ok(!JSON.stringify(targets).includes(secret));
const renamedTarget = await mesa.webhookTargets.update({ webhookTargetId: target.id, name: 'renamed' });
assert.equal(renamedTarget.name, 'renamed');
done('webhookTargets.create, list, update');

const repo = await mesa.repos.create({ name: 'sdk', tags: { team: 'core' } });
assert.deepEqual(
  [repo.name, repo.default_bookmark, repo.head_change_id, repo.upstream, repo.tags],
  ['sdk', 'main', VIRTUAL_ROOT_CHANGE_ID, null, { team: 'core' }],
);
const nameless = await mesa.repos.create({});
assert.ok(nameless.name.length > 0);
await refused(mesa.repos.create({ name: 'sdk' }), 409, 'CONFLICT');
assert.equal((await mesa.org.get()).num_repos, before.num_repos + 2);
const tagged = await mesa.repos.list({ tags: 'team:core', limit: 10 });
assert.deepEqual(tagged.repos.map((one) => one.id), [repo.id]);
const first = await mesa.repos.list({ limit: 1 });
assert.equal(first.has_more, true);
const second = await mesa.repos.list({ limit: 1, cursor: first.next_cursor });
assert.notEqual(second.repos[0].id, first.repos[0].id);
const updated = await mesa.repos.update({ repo: nameless.name, name: 'other', tags: { team: null, x: 'y' } });
assert.deepEqual([updated.id, updated.name, updated.tags], [nameless.id, 'other', { x: 'y' }]);
assert.equal((await mesa.repos.get({ repo: 'other' })).id, nameless.id);
assert.deepEqual(await mesa.repos.delete({ repo: 'other' }), { success: true });
await refused(mesa.repos.get({ repo: 'other' }), 404, 'NOT_FOUND');
done('repos.create, get, list, update, delete');

const upstream = await mesa.repos.update({
  repo: 'sdk', upstream: { url: 'https://git.example.com/x.git', auth: { kind: 'token', token: 'upstream-secret' } },
});
assert.deepEqual([upstream.upstream.url, upstream.upstream.auth_kind], ['https://git.example.com/x.git', 'token']);
assert.ok(!JSON.stringify(upstream).includes('upstream-secret'));
const sync = await mesa.repos.syncUpstream({ repo: 'sdk', direction: 'pull' }).catch((error) => error);
if (sync instanceof MesaApiError) {
  assert.ok(sync.status < 500 && /not configured|not supported/.test(sync.message), sync.message);
} else {
  await until('the sync has failed', async () =>
    (await mesa.repos.getUpstreamSync({ repo: 'sdk', syncId: sync.id })).status === 'failed');
  const failed = await mesa.repos.getUpstreamSync({ repo: 'sdk', syncId: sync.id });
  assert.match(failed.error, /not configured|not supported/);
}
const syncs = await mesa.repos.listUpstreamSyncs({ repo: 'sdk' });
assert.ok(Array.isArray(syncs.syncs));
assert.equal((await mesa.repos.update({ repo: 'sdk', upstream: null })).upstream, null);
done('repos.syncUpstream, getUpstreamSync, listUpstreamSyncs');

const seed = await mesa.changes.create({
  repo: 'sdk', base_change_id: VIRTUAL_ROOT_CHANGE_ID, message: 'seed', author,
  files: [
    { path: 'README.md', content: base64('one\ntwo\nthree\n') },
    { path: 'bin/run', content: base64('#!/bin/sh\n'), mode: '100755' },
    { path: 'ä b/c+d&e.txt', content: base64('odd name') },
  ],
});
assert.deepEqual([seed.message, seed.parents, seed.author.name], ['seed', [VIRTUAL_ROOT_CHANGE_ID], 'Ann']);
const moved = await mesa.bookmarks.move({ repo: 'sdk', bookmark: 'main', change_id: seed.id });
assert.deepEqual([moved.change_id, moved.from_change_id, moved.is_default], [seed.id, VIRTUAL_ROOT_CHANGE_ID, true]);
const root = await mesa.content.get({ repo: 'sdk', depth: 10 });
assert.deepEqual(
  [root.type, root.path, root.child_count, root.entries.map((entry) => entry.path).sort()],
  ['dir', '', 3, ['README.md', 'bin', 'bin/run', 'ä b', 'ä b/c+d&e.txt']],
);
const odd = await mesa.content.get({ repo: 'sdk', path: 'ä b/c+d&e.txt' });
assert.deepEqual([odd.type, odd.content, odd.mode], ['file', base64('odd name'), '100644']);
await refused(mesa.content.get({ repo: 'sdk', path: 'none' }), 404, 'NOT_FOUND');
const amended = await mesa.changes.patch({
  repo: 'sdk', change_id: seed.id, message: 'seed, amended', base_commit_oid: seed.current_commit_oid,
});
assert.equal(amended.id, seed.id);
assert.notEqual(amended.current_commit_oid, seed.current_commit_oid);
await refused(
  mesa.changes.patch({ repo: 'sdk', change_id: seed.id, message: 'x', base_commit_oid: seed.current_commit_oid }),
  409, 'STALE_CHANGE',
);
const detail = await mesa.changes.get({ repo: 'sdk', change_id: seed.id });
assert.deepEqual([detail.message, detail.conflicts, detail.files.length], ['seed, amended', [], 3]);
const listed = await mesa.changes.list({ repo: 'sdk', limit: 5 });
assert.deepEqual(listed.changes.map((change) => change.id).slice(0, 1), [seed.id]);
done('changes.create, patch, get, list; content.get; bookmarks.move');

// A sandbox: a key for this repository, a token of that key, and a mount with the token.
const key = await mesa.apiKeys.create({ name: 'sandbox', scopes: ['read', 'write'], repo_ids: [repo.id], expires_in_seconds: 3600 });
const keys = await mesa.apiKeys.list();
const row = keys.api_keys.find((one) => one.id === key.id);
assert.deepEqual([row.name, row.scopes, row.repo_ids, row.revoked_at], ['sandbox', ['read', 'write'], [repo.id], null]);
assert.ok(!JSON.stringify(keys).includes(key.key));
const member = new Mesa({ apiKey: key.key, apiUrl });
const token = await member.tokens.create({ scopes: ['read', 'write'], repos: ['local/sdk'], ttl_seconds: 900 });
await refused(member.apiKeys.list(), 403, 'FORBIDDEN');
await refused(new Mesa({ apiKey: token.token, apiUrl, org: 'local' }).apiKeys.create({ name: 'more' }), 403, 'FORBIDDEN');
assert.deepEqual((await member.repos.list()).repos.map((one) => one.name), ['sdk']);
done('apiKeys.create, list; tokens.create');

run(token.token, 'mount', '--daemonize');
const tree = `${mountPoint}/local/sdk`;
assert.equal(readFileSync(`${tree}/README.md`, 'utf8'), 'one\ntwo\nthree\n');
writeFileSync(`${tree}/README.md`, 'one\n2\nthree\n');
mkdirSync(`${tree}/src`);
writeFileSync(`${tree}/src/new.js`, 'export {};\n');
renameSync(`${tree}/bin/run`, `${tree}/bin/start`);
rmSync(`${tree}/ä b`, { recursive: true });
run(token.token, 'journal', 'flush', '--timeout', '60s');
const status = JSON.parse(run(token.token, 'status', '--json'));
const agent = status.repos.find((one) => one.name === 'sdk').change.id;
const edit = await member.content.get({ repo: 'sdk', change_id: agent, path: 'README.md' });
assert.equal(Buffer.from(edit.content, 'base64').toString(), 'one\n2\nthree\n');
await member.bookmarks.create({ repo: 'sdk', name: 'agent/work', change_id: agent });
const history = await member.changes.list({ repo: 'sdk', bookmark: 'agent/work' });
assert.deepEqual(history.changes.map((change) => change.id), [agent, seed.id]);
const diff = await member.diffs.get({ repo: 'sdk', base_change_id: seed.id, head_change_id: agent });
assert.deepEqual(
  diff.entries.map((entry) => [entry.path, entry.status]).sort(),
  [['README.md', 'modified'], ['bin/start', 'renamed'], ['src/new.js', 'added'], ['ä b/c+d&e.txt', 'deleted']],
);
const readme = diff.entries.find((entry) => entry.path === 'README.md');
assert.deepEqual(
  readme.hunks[0].lines.filter((line) => line.kind !== 'context').map((line) => [line.kind, line.text.trimEnd()]),
  [['deleted', 'two'], ['added', '2']],
);
assert.deepEqual([diff.truncated, diff.stats.entries, diff.conflicted_entries], [false, 4, []]);
done('a mount with the token; its edits in content, changes and diffs');

const merged = await member.bookmarks.merge({ repo: 'sdk', target: 'main', source: 'agent/work', delete_source: true });
assert.deepEqual([merged.merge_type, merged.source_deleted, merged.is_conflicted], ['merge_commit', true, false]);
const names = async (glob) => (await mesa.bookmarks.list({ repo: 'sdk', glob })).bookmarks.map((one) => one.name);
assert.deepEqual(await names(undefined), ['main']);
assert.equal((await mesa.bookmarks.get({ repo: 'sdk', bookmark: 'main' })).change_id, merged.change_id);
const published = await mesa.content.get({ repo: 'sdk', path: 'src/new.js' });
assert.equal(published.content, base64('export {};\n'));

// Two sides that do not fit: refused with hunks, then merged as those say, or as it is.
const side = async (name, text) => {
  const change = await mesa.changes.create({
    repo: 'sdk', base_change_id: merged.change_id, message: name, author,
    files: [{ path: 'README.md', content: base64(text) }],
  });
  return mesa.bookmarks.create({ repo: 'sdk', name, change_id: change.id });
};
await side('left', 'one\nleft\nthree\n');
await side('right', 'one\nright\nthree\n');
await side('third', 'one\nthird\nthree\n');
assert.deepEqual(await names('?e*'), ['left']);
const conflict = await refused(
  mesa.bookmarks.merge({ repo: 'sdk', target: 'left', source: 'right' }), 409, 'MERGE_CONFLICT',
);
const details = conflict.body.error.details;
assert.deepEqual(details.conflict_paths, ['README.md']);
const [hunk] = details.conflicted_entries[0].hunks;
const resolved = await mesa.bookmarks.merge({
  repo: 'sdk', target: 'left', source: 'right',
  resolutions: [{ path: 'README.md', hunks: [{ hunk_id: hunk.hunk_id, content: base64('both\n'), encoding: 'base64' }] }],
});
const text = async (bookmark) => {
  const { change_id } = await mesa.bookmarks.get({ repo: 'sdk', bookmark });
  const { content } = await mesa.content.get({ repo: 'sdk', change_id, path: 'README.md' });
  return Buffer.from(content, 'base64').toString();
};
assert.equal(await text('left'), 'one\nboth\nthree\n');
const kept = await mesa.bookmarks.merge({ repo: 'sdk', target: 'left', source: 'third', allow_conflicted: true });
assert.equal(kept.is_conflicted, true);
const conflicted = await mesa.changes.get({ repo: 'sdk', change_id: kept.change_id });
assert.deepEqual([conflicted.is_conflicted, conflicted.conflicts], [true, ['README.md']]);
assert.match(await text('left'), /^<<<<<<</m);
await refused(
  mesa.changes.patch({ repo: 'sdk', change_id: kept.change_id, author, files: [{ path: 'x', content: '' }] }),
  409, 'MERGE_CONFLICT',
);
const settled = await mesa.changes.patch({
  repo: 'sdk', change_id: kept.change_id, resolutions: [{ path: 'README.md', take: 'source' }],
});
assert.equal(settled.is_conflicted, false);
assert.equal(await text('left'), 'one\nthird\nthree\n');
await refused(mesa.bookmarks.move({ repo: 'sdk', bookmark: 'left', change_id: seed.id }), 409, 'NOT_FORWARD');
assert.deepEqual(await mesa.bookmarks.delete({ repo: 'sdk', bookmark: 'right' }), { success: true });
await refused(mesa.bookmarks.get({ repo: 'sdk', bookmark: 'right' }), 404, 'NOT_FOUND');
await refused(mesa.bookmarks.delete({ repo: 'sdk', bookmark: '..' }), 404, 'NOT_FOUND');
assert.equal((await mesa.repos.get({ repo: 'sdk' })).id, repo.id);
assert.ok(resolved.commit_oid);
done('bookmarks.create, list, get, merge, delete; conflicts by hunk, kept, and resolved');

// The key goes, and the mount stays.
assert.deepEqual(await mesa.apiKeys.revoke({ id: key.id }), { success: true });
await refused(member.repos.list({ org: 'local' }), 401, 'KEY_REVOKED');
writeFileSync(`${tree}/after.txt`, 'written with a dead key\n');
assert.equal(readFileSync(`${tree}/after.txt`, 'utf8'), 'written with a dead key\n');
assert.equal(readFileSync(`${tree}/README.md`, 'utf8'), 'one\n2\nthree\n');
const flushed = spawnSync(MESA, ['journal', 'flush', '--timeout', '2s'], { env: { ...process.env, MESA_API_KEY: token.token }, encoding: 'utf8' });
assert.notEqual(flushed.status, 0);
const fresh = await mesa.tokens.create({ scopes: ['read', 'write'], repos: ['local/sdk'], ttl_seconds: 900 });
run(fresh.token, 'mount', '--daemonize');
run(fresh.token, 'journal', 'flush', '--timeout', '60s');
const late = JSON.parse(run(fresh.token, 'status', '--json')).repos.find((one) => one.name === 'sdk');
const after = await mesa.content.get({ repo: 'sdk', change_id: late.change.id, path: 'after.txt' });
assert.equal(Buffer.from(after.content, 'base64').toString(), 'written with a dead key\n');
run(fresh.token, 'umount');
done('apiKeys.revoke; the mount survived it, and went on with another token');

await mesa.repos.delete({ repo: 'sdk' });
const wanted = ['repo.created', 'repo.updated', 'repo.deleted', 'bookmark.created', 'bookmark.moved',
  'bookmark.merged', 'bookmark.deleted', 'change.created', 'change.evolved'];
await until('every event was delivered', () => wanted.every((type) => heard.some((event) => event.type === type)));
assert.ok(!heard.some((event) => event.type === 'unreadable'));
assert.deepEqual(await mesa.webhookTargets.delete({ webhookTargetId: target.id }), { success: true });
assert.deepEqual((await mesa.webhookTargets.list()).webhook_targets, []);
listener.close();
done(`webhooks.receive: ${wanted.length} kinds of events, signed and well-formed`);
done('every resource was used');
