// Archiving beside others who read and write.
import assert from 'node:assert/strict';
import { chmodSync, existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SqliteStore } from '../../lib/index.ts';
import { archiveAudits, verifyArchives } from '../../lib/modules/archive/archive.ts';
import { planArchive } from '../../lib/modules/archive/range.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { nobody, run } from '../support/process.ts';

const dayMs = 86_400_000;

/** A store with so many rows that are old enough. */
function oldStore(folder: TestFolder, rows: number, busyTimeoutMs: number): SqliteStore {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const store = folder.open({ ...clocks.options, busyTimeoutMs });
  store.transaction(() => {
    for (let entryCount = 0; entryCount < rows; entryCount++) store.appendAudit({ type: 'policy_loaded', entryCount });
  });
  clocks.pass(2 * dayMs);
  return store;
}

test('a reader that never ends, and so keeps the WAL from being begun anew, does not stop the archiving', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const store = oldStore(folder, 12_000, 5_000);
  const reader = folder.raw();
  reader.exec('BEGIN');
  assert.equal(reader.prepare('SELECT count(*) AS count FROM audit_log').get()!['count'], 12_000);
  const archived = await archiveAudits(store, { folder: folder.file('archives'), upTo: { id: 12_000 } });
  assert.equal(archived?.to, 12_000);
  assert.equal(reader.prepare('SELECT count(*) AS count FROM audit_log').get()!['count'], 12_000);
  reader.exec('COMMIT');
  assert.equal((await verifyArchives(store, folder.file('archives'))).ok, true);
});

test('whoever looks for the rows that may go has the WAL copied meanwhile, so that it can be begun anew', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const store = oldStore(folder, 12_000, 5_000);
  const writer = folder.raw();
  writer.exec('PRAGMA wal_autocheckpoint = 0; CREATE TABLE other (text)');
  writer.exec(`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
    INSERT INTO other SELECT hex(zeroblob(2000)) FROM n`);
  const left = (): number => {
    const { log, checkpointed } = writer.prepare('PRAGMA wal_checkpoint(NOOP)').get() as Record<string, number>;
    return log! - checkpointed!;
  };
  assert.ok(left() > 1_000);
  // Who only reads copies nothing, and may be one to whom SQLite does not even tell how long the WAL is.
  chmodSync(folder.path, 0o755);
  for (const suffix of ['', '-wal', '-shm']) chmodSync(folder.file() + suffix, 0o644);
  const told = run(folder.file(), `
    const { planArchive } = await import('${new URL('../../lib/modules/archive/range.ts', import.meta.url).href}');
    using reader = SqliteStore.openReadOnly(path);
    report((await planArchive(reader, { before: new Date('2026-11-22T10:00:00Z') })).range.last.id);`, { uid: nobody });
  assert.deepEqual(told, [12_000]);
  assert.ok(left() > 1_000);
  assert.equal((await planArchive(store, { keepDays: 1 })).range?.last.id, 12_000);
  assert.equal(left(), 0);
});

test('archiving waits for another writer as long as the store waits for one, and deletes nothing then', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const store = oldStore(folder, 10, 300);
  const writer = folder.raw();
  const archives = folder.file('archives');
  const archive = (): Promise<unknown> => archiveAudits(store, { folder: archives, upTo: { id: 10 } });
  writer.exec('BEGIN IMMEDIATE');
  const aborted = archiveAudits(store, { folder: archives, upTo: { id: 10 }, signal: AbortSignal.timeout(50) });
  await assert.rejects(aborted, { name: 'TimeoutError' });
  await assert.rejects(archive(), { code: 'ERR_STORE_BUSY' });
  assert.equal(existsSync(archives), false);
  assert.equal(store.health().lastError?.code, 'ERR_STORE_BUSY');

  const waiting = archive();
  await sleep(50);
  writer.exec('COMMIT');
  await waiting;
  assert.deepEqual(Array.from(store.iterateAudits(), ({ id, event }) => [id, event.type]), [[11, 'log_archived']]);
});

test('a moment in which another writer was in the way is no error of the store', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const store = oldStore(folder, 10, 5_000);
  const writer = folder.raw();
  writer.exec('BEGIN IMMEDIATE');
  const waiting = archiveAudits(store, { folder: folder.file('archives'), upTo: { id: 10 } });
  await sleep(20);
  writer.exec('COMMIT');
  await waiting;
  assert.equal(store.health().lastError, undefined);
});
