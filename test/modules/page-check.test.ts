// The check of all pages: of a store at rest, beside a running service and after a crash, in verify and before a copy
// gets its name.
import assert from 'node:assert/strict';
import { copyFileSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkCopy, checkPages } from '../../lib/modules/backup/page-check.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { shepherd } from '../support/command.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

/** A store at rest with some hundred pages. */
function fill(folder: TestFolder, events = 4_000): string {
  const store = folder.open();
  store.transaction(() => {
    for (let n = 0; n < events; n++)
      store.appendAudit({ type: 'launch_denied', entryId: 'x'.repeat(100), reasons: [] });
  });
  store.addUsage('minecraft', '2026-11-21', 1_000);
  store.close();
  return folder.file();
}

/** Writes noise over the last page that a table or index has. */
function spoil(path: string, name: string): void {
  const db = new DatabaseSync(path);
  const { pgno } = db.prepare('SELECT max(rootpage) AS pgno FROM sqlite_schema WHERE name = ?').get(name) as {
    pgno: number;
  };
  const { page_size: size } = db.prepare('PRAGMA page_size').get() as { page_size: number };
  db.close();
  writeSync(openSync(path, 'r+'), Buffer.alloc(size, 0xa5), 0, size, (pgno - 1) * size);
}

test('all pages of a sound store are checked, with progress, off the event loop, and nothing is changed', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const before = picture(folder.path);
  const seen: { done: number; total: number }[] = [];
  let turns = 0;
  const check = checkPages(path, { onProgress: (progress) => seen.push(progress) });
  let isOver = false;
  void check.finally(() => (isOver = true));
  for (; !isOver; await nextTurn()) turns++;
  const { checked, ...report } = await check;
  assert.deepEqual(report, { ok: true, findings: [] });
  const db = folder.raw();
  assert.equal(checked, db.prepare('PRAGMA page_count').get()!['page_count']);
  db.close();
  assert.deepEqual(seen.at(-1), { done: checked, total: checked });
  assert.ok(turns > 10, String(turns));
  assert.deepEqual(picture(folder.path), before);
});

test('verify finds a damaged page that no row of the log stands on, and --quick does not look for it', async (t) => {
  for (const name of ['usage', 'sqlite_autoindex_usage_1', 'facts']) {
    const folder = new TestFolder(t, { checked: false });
    const path = fill(folder, 10);
    spoil(path, name);
    const before = picture(folder.path);
    const { code, out } = await shepherd(['verify', path]);
    assert.equal(code, 1, name);
    assert.match(
      out,
      /^log +ok: 10 events checked, every hash fits\npages +\d+ findings? in \d+ pages\n  damaged +\S/,
      name,
    );
    const machine = await shepherd(['verify', path, '--json']);
    assert.equal(machine.code, 1);
    assert.partialDeepStrictEqual(JSON.parse(machine.out), { ok: false, checked: 10, pages: { ok: false } });
    const quick = await shepherd(['verify', path, '--quick']);
    assert.deepEqual([quick.code, /pages/.test(quick.out)], [0, false]);
    assert.equal('pages' in (JSON.parse((await shepherd(['verify', path, '--quick', '--json'])).out) as object), false);
    assert.deepEqual(picture(folder.path), before);
  }
});

test('verify tells of damaged pages and of a log that they keep from being read, each by itself', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  const bytes = readFileSync(path);
  // Noise in the middle of the file, where the log is.
  writeFileSync(
    path,
    bytes.fill(0xa5, Math.floor(bytes.length / 8192) * 4096, Math.floor(bytes.length / 8192) * 4096 + 8192),
  );
  const { code, out } = await shepherd(['verify', path]);
  assert.equal(code, 1);
  const log = /^log +(cannot be checked\n  ERR_STORE_CORRUPT|[\d,]+ findings?)[^]*\n/;
  const pages = /pages +\d+ findings? in [\d,]+ pages\n  damaged +Tree \d+ page/;
  assert.match(out, new RegExp(log.source + pages.source));
});

test('pages are checked beside a writing service and after it was killed, and no private copy is left', async (t) => {
  const folder = new TestFolder(t);
  const usual = process.env['TMPDIR'];
  t.after(() => {
    if (usual === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = usual;
  });
  const service = new Worker(t, 'cli', ['write', folder.file()], { env: plainEnvironment() });
  await service.told(3);
  for (let round = 0; round < 3; round++)
    assert.partialDeepStrictEqual(await checkPages(folder.file(), {}), { ok: true, findings: [] });
  service.kill();
  await service.end();
  const before = picture(folder.path);
  assert.equal((await checkPages(folder.file(), {})).ok, true);
  assert.deepEqual(picture(folder.path), before);
  // A -wal without its index is read by a copy.
  rmSync(folder.file('store.db-shm'), { force: true });
  const crashed = picture(folder.path);
  const temporary = new TestFolder(t);
  process.env['TMPDIR'] = temporary.path;
  assert.equal((await checkPages(folder.file(), {})).ok, true);
  assert.deepEqual(picture(folder.path), crashed);
  assert.deepEqual(readdirSync(temporary.path), []);
});

test('pages that were written to while they were checked are checked again', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder, 10);
  let rounds = 0;
  const { ok } = await checkPages(path, {
    onProgress: ({ done, total }) => {
      if (done < total || rounds++ > 0) return;
      const store = folder.open();
      store.appendAudit({ type: 'service_started' });
      store.close();
    },
  });
  assert.deepEqual({ ok, rounds }, { ok: true, rounds: 2 });
});

test('a check is aborted with the reason of its signal, before and meanwhile', async (t) => {
  const path = fill(new TestFolder(t));
  const reason = new Error('enough');
  await assert.rejects(checkPages(path, { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const check = checkPages(path, { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  await assert.rejects(check, reason);
});

test('a copy is checked as it stands, up to the first finding', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder, 10);
  copyFileSync(path, folder.file('copy'));
  assert.equal((await checkCopy(folder.file('copy'), {})).ok, true);
  spoil(folder.file('copy'), 'usage');
  assert.equal((await checkCopy(folder.file('copy'), {})).findings.length, 1);
  writeFileSync(folder.file('copy'), 'no database '.repeat(1_000));
  assert.equal((await checkCopy(folder.file('copy'), {})).ok, false);
});
