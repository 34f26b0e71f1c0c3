import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, renameSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../lib/index.ts';
import { TestFolder } from './support/folder.ts';

test('what was written is there after closing and opening again', (t) => {
  const folder = new TestFolder(t);
  const first = folder.open();
  first.appendAudit({ type: 'session_started', sessionId: 's1', entryId: 'minecraft' });
  assert.equal(first.addUsage('minecraft', '2026-11-21', 90_500), 90_500);
  first.setCooldownUntil('minecraft', new Date('2026-11-21T10:00:00Z'));
  first.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
  first.close();

  const again = folder.open();
  assert.deepEqual(again.getRecentAudits(5).map(({ id, event }) => ({ id, event })), [
    { id: 1, event: { type: 'session_started', sessionId: 's1', entryId: 'minecraft' } },
  ]);
  assert.equal(again.getUsage('minecraft', '2026-11-21'), 90_500);
  assert.deepEqual(again.getCooldownUntil('minecraft'), new Date('2026-11-21T10:00:00Z'));
  assert.deepEqual(again.loadSnapshot(), { timestamp: new Date('2026-11-21T09:00:00Z') });
  assert.equal(again.recovery, undefined);
});

test('the snapshot file is open to whom the owner opened the database, and belongs to its owner', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.saveSnapshot({ timestamp: new Date() });
  const modeOf = (name: string): number => statSync(folder.file(name)).mode & 0o777;
  assert.equal(modeOf('store.snapshot.json'), 0o600);
  chmodSync(folder.file(), 0o640);
  if (process.geteuid?.() === 0) chownSync(folder.file(), 65534, 65534);
  store.saveSnapshot({ timestamp: new Date() });
  assert.equal(modeOf('store.snapshot.json'), 0o640);
  assert.equal(statSync(folder.file('store.snapshot.json')).uid, statSync(folder.file()).uid);
});

test('a database that was exchanged for an older copy is a finding to whoever only looks', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  copyFileSync(folder.file(), folder.file('older.db'));
  const newer = folder.open();
  newer.saveSnapshot({ timestamp: new Date() });
  newer.close();
  renameSync(folder.file('older.db'), folder.file());
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.deepEqual(reader.health().findings.map(({ kind }) => kind), ['behind']);
});
