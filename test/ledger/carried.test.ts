// What is carried over where a log with a ledger is shortened: all that can be read, whatever its texts are.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { rebuildDatabase } from '../../lib/ledger/index.ts';
import { archiveUpTo, checkParity, runFor } from '../support/archive.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { ledgerIn } from '../support/ledger.ts';

function rowsOf(path: string): unknown[] {
  using db = new DatabaseSync(path, { readOnly: true });
  return [
    'SELECT entry_id, day, duration_secs, carry_ms FROM usage ORDER BY entry_id, day',
    "SELECT entry_id, round(unixepoch(until, 'subsec') * 1000), set_at FROM cooldowns ORDER BY entry_id",
    'SELECT * FROM overrides ORDER BY subject, day',
    'SELECT * FROM balances ORDER BY subject',
  ].map((sql) => db.prepare(sql).all());
}

test('adopted usage and cooldowns with odd texts are carried over, and rebuilt from the cut ledger', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), `${fourTables}; DELETE FROM snapshot;
    INSERT INTO usage VALUES (' ', '2026-11-20', 1), ('ä🎮"\\', '2026-11-19', 0), ('x', '0001-01-01', 90071992547);
    INSERT INTO cooldowns VALUES (' ', '2026-11-20T10:00:00+01:00'), ('b', '2026-11-20T10:00:00.123456Z');`);
  const clocks = new Clocks('2026-12-01T08:00:00Z');
  const store = folder.open({ ...clocks.options, ledger: ledgerIn(folder) });
  for (let count = 0; count < 1_100; count++) store.addUsage(`entry ${count}`, '2026-11-30', count);
  store.grantTime({ subject: ' ', day: '2026-12-01', durationMs: -5 });
  store.setAvailability({ subject: 'only granted', day: '2026-12-01', availability: 'denied' });
  store.setAvailability({ subject: 'only granted', day: '2026-12-01', availability: undefined });
  runFor(store, clocks, 3, 4);
  await archiveUpTo({ store, clocks, archives: folder.file('archives') }, store.auditHead()!.id - 8);
  await checkParity(store, ledgerIn(folder));
  store.close();
  await rebuildDatabase(ledgerIn(folder), folder.file('rebuilt.db'));
  assert.deepEqual(rowsOf(folder.file('rebuilt.db')), rowsOf(folder.file()));
});

test('the days that were written last are the last ones after a rebuild from the cut ledger too', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-01-01T08:00:00Z');
  const store = folder.open({ ...clocks.options, ledger: ledgerIn(folder) });
  for (const day of ['2026-03-03', '2025-05-05', '2026-02-02', '2025-01-01']) store.addUsage('a', day, 1_000);
  runFor(store, clocks, 3, 4);
  await archiveUpTo({ store, clocks, archives: folder.file('archives') }, 12);
  store.saveSnapshot({ timestamp: new Date(clocks.wall) });
  store.close();
  const lastOf = (path: string): unknown => {
    using db = new DatabaseSync(path, { readOnly: true });
    return db.prepare('SELECT day FROM usage ORDER BY rowid DESC LIMIT 2').all();
  };
  await rebuildDatabase(ledgerIn(folder), folder.file('rebuilt.db'));
  assert.deepEqual(lastOf(folder.file('rebuilt.db')), lastOf(folder.file()));
});

test('long names of entries do not keep a log from being shortened', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-01-01T08:00:00Z');
  const store = folder.open({ ...clocks.options, ledger: ledgerIn(folder) });
  store.transaction(() => {
    for (let count = 0; count < 36; count++) store.addUsage(`${count}${'x'.repeat(1_000_000)}`, '2026-01-01', 1);
  });
  runFor(store, clocks, 3, 4);
  await archiveUpTo({ store, clocks, archives: folder.file('archives') }, 40);
  await checkParity(store, ledgerIn(folder));
});
