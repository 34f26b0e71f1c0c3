// Opening a store with a ledger beside a process that writes.
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth } from '../support/ledger.ts';
import { Companion } from '../support/process.ts';

test('a store with a ledger opens beside a process that writes without a pause, as often as it is asked', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const open = (): SqliteStore => SqliteStore.open(folder.file(), {
    ledger: Ledger.open(folder.file('audit.jsonl')), busyTimeoutMs: 2_000,
  });
  open().close();
  // It holds the lock for 10 ms each time, and leaves it for a quarter of one: SQLite asks for it ten times in a second
  // in the end, and would find it taken nearly each time.
  const other = new Companion(t, folder.file(), `
    const db = new DatabaseSync(path, { timeout: 5_000 });
    const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    db.exec('PRAGMA journal_mode = WAL');
    report('begins');
    for (;;) {
      db.exec('BEGIN IMMEDIATE');
      pause(10);
      db.exec('COMMIT');
      pause(0.2);
    }`);
  await other.next();
  for (let turn = 0; turn < 10; turn++) open().close();
  await other.kill();
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});
