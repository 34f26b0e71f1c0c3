// A report of a damaged store: what cannot be read is told in its place, and hides nothing else.
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import type { Contents } from '../../lib/modules/report/contents.ts';
import { damage } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { readable, reportOf } from '../support/report-figures.ts';

const now = new Date('2026-11-21T12:00:00Z');
const clock = (): Date => now;
const options = {
  from: '2026-11-20', to: '2026-11-21', timeZone: 'UTC', policy: { entries: { 'entry 1': { dailyMs: 60_000 } } },
};
const entries = 200;

/** A store with so much of everything that usage and log lie on pages of their own. */
function filled(t: TestContext): TestFolder {
  const folder = new TestFolder(t, { checked: false, inMemory: true });
  using store = SqliteStore.open(folder.file(), { clock });
  store.transaction(() => {
    for (let index = 0; index < entries; index++) {
      const [sessionId, entryId] = [`session ${index}`, `entry ${index}`];
      store.appendAudit({ type: 'session_started', sessionId, entryId, label: `Entry ${index}` });
      store.appendAudit({ type: 'session_ended', sessionId, entryId, reason: { type: 'expired' }, durationMs: 1_500 });
      store.addUsage(entryId, '2026-11-21', 1_500);
    }
    store.grantTime({ subject: 'entry 1', day: '2026-11-21', durationMs: 1_000 });
  });
  return folder;
}

async function reportOn(folder: TestFolder): Promise<Contents> {
  using store = SqliteStore.openReadOnly(folder.file(), { clock });
  return await reportOf(store, options);
}

/** Overwrites each page of a table or an index with what is no page. */
function destroy(folder: TestFolder, name: string): void {
  const db = folder.raw();
  const pages = db.prepare('SELECT pageno, pgsize FROM dbstat WHERE name = ?').all(name) as
    { pageno: number; pgsize: number }[];
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  const fd = openSync(folder.file(), 'r+');
  for (const { pageno, pgsize } of pages) writeSync(fd, Buffer.alloc(pgsize, 0xab), 0, pgsize, (pageno - 1) * pgsize);
  closeSync(fd);
}

test('where the pages of usage are destroyed, all else is shown', async (t) => {
  const folder = filled(t);
  destroy(folder, 'usage');
  const { usage, quotas, history, proof, labels } = await reportOn(folder);
  assert.match(usage.unreadable!, /failed to read the usage: the database is damaged/);
  assert.equal(quotas!.unreadable, usage.unreadable);
  assert.equal(readable(history).sessions.length, entries);
  assert.equal(readable(proof).ok, true);
  assert.equal(labels.size, entries);
});

test('where the pages of the log are destroyed, all else is shown', async (t) => {
  const folder = filled(t);
  destroy(folder, 'audit_log');
  const { usage, quotas, history, proof } = await reportOn(folder);
  assert.equal(readable(usage).total, entries * 1_500);
  assert.match(history.unreadable!, /failed to read the log: the database is damaged/);
  assert.match(proof.unreadable!, /the database is damaged/);
  assert.deepEqual(readable(quotas!)[0]!.usedMs, [0, 1_500]);
});

test('where the grants are destroyed, so are the quotas, and all else is shown', async (t) => {
  const folder = filled(t);
  destroy(folder, 'overrides');
  const { usage, quotas, history } = await reportOn(folder);
  assert.match(quotas!.unreadable!, /failed to read what was granted: the database is damaged/);
  assert.equal(readable(usage).total, entries * 1_500);
  assert.equal(readable(history).changes.length, 1);
});

test('a row whose own pages are damaged hides no other', async (t) => {
  const folder = filled(t);
  const reason = 'x'.repeat(30_000);
  {
    using store = SqliteStore.open(folder.file(), { clock });
    store.appendAudit({ type: 'launch_denied', entryId: 'long', reasons: [reason] });
    store.appendAudit({ type: 'launch_denied', entryId: 'after', reasons: [] });
  }
  const db = folder.raw();
  const sql = "SELECT pageno FROM dbstat WHERE name = 'audit_log' AND pagetype = 'overflow' ORDER BY path LIMIT 1";
  const { pageno } = db.prepare(sql).get() as { pageno: number };
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  const fd = openSync(folder.file(), 'r+');
  writeSync(fd, Buffer.from([0xff, 0xff, 0xff, 0xff]), 0, 4, (pageno - 1) * 4_096); // no page has such a number
  closeSync(fd);
  const { history, usage } = await reportOn(folder);
  const { sessions, denied, unreadable, recorded } = readable(history);
  assert.equal(sessions.length, entries);
  assert.deepEqual(denied.map(({ entryId }) => entryId), ['after']);
  assert.equal(unreadable, 1);
  assert.deepEqual(recorded, ['silent', 'recorded']);
  assert.equal(readable(usage).total, entries * 1_500);
});

test('events that cannot be read are counted, but not those whose time is of no day of the report', async (t) => {
  const bad: [sql: string, unreadable: number, sessions: number][] = [
    ["event_data = '{' WHERE id = 2", 1, 200], ["event_data = x'7b7d' WHERE id = 1", 1, 200],
    ["event_data = NULL WHERE id IN (1, 2)", 2, 199], ["timestamp = 'soon' WHERE id = 2", 1, 200],
    ['timestamp = 9007199254740993 WHERE id = 2', 1, 200], ["event_type = x'61' WHERE id = 2", 1, 200],
    ["event_meta = '{' WHERE id = 2", 1, 200],
    ["event_data = '{', timestamp = '2026-11-01T00:00:00.000Z' WHERE id = 2", 0, 200],
    ["timestamp = '2026-11-21T10:00:00+01:00' WHERE id = 2", 0, 200],
  ];
  for (const [sql, unreadable, sessions] of bad) {
    const folder = filled(t);
    damage(folder.file(), 'audit_log', sql);
    const { history, proof, usage } = await reportOn(folder);
    assert.equal(readable(history).unreadable, unreadable, sql);
    assert.equal(readable(history).sessions.length, sessions, sql);
    assert.equal(readable(proof).ok, false, sql);
    assert.notDeepEqual(readable(proof).problems, [], sql);
    assert.equal(readable(usage).total, entries * 1_500, sql);
  }
});

test('of a log that somebody wrote again, the first problems are named and the others counted', async (t) => {
  const folder = filled(t);
  damage(folder.file(), 'audit_log', "timestamp = '2026-11-21T10:00:00.000Z'");
  const { ok, problems, checkedRows } = readable((await reportOn(folder)).proof);
  assert.deepEqual([ok, problems.length, checkedRows], [false, 21, 401]);
  assert.match(problems.at(-1)!, /^and 381 more$/);
});

test('a report changes no byte of the store', async (t) => {
  const folder = filled(t);
  damage(folder.file(), 'usage', "duration_secs = 'x' WHERE entry_id = 'entry 7'");
  const bytesOf = (): Buffer => {
    const bytes = Buffer.alloc(statSync(folder.file()).size);
    const fd = openSync(folder.file(), 'r');
    readSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
    return bytes;
  };
  const before = bytesOf();
  using store = SqliteStore.open(folder.file(), { clock });
  await reportOf(store, options);
  assert.deepEqual(bytesOf(), before);
});
