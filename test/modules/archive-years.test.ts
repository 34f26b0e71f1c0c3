// A kiosk that archives every night for longer than it keeps its log: see also `npm run bench -- --years`.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Ledger, rebuildDatabase } from '../../lib/ledger/index.ts';
import { listArchives } from '../../lib/modules/archive/archive.ts';
import { TestFolder } from '../support/folder.ts';
import { live } from '../support/years.ts';

const days = 70;
const keepDays = 20;

/** What a database has of each entry and subject. */
function balancesIn(path: string): unknown[][] {
  using db = new DatabaseSync(path, { readOnly: true });
  return ['usage', 'cooldowns', 'overrides', 'balances'].map((table) => {
    return db.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all();
  });
}

for (const withLedger of [false, true]) {
  const mode = withLedger ? 'with a ledger' : 'without a ledger';
  test(`a kiosk ${mode} that archives every night: its database stops growing, and all of it verifies`, async (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const lived = await live({
      folder: folder.path, withLedger, days, eventsADay: 120, keepDays, sessionsAnHour: 1, settledAt: 2 * keepDays,
      isVerified: (night) => night % 5 === 0,
    });
    t.diagnostic(JSON.stringify(lived));
    assert.ok(lived.largestBytes <= 1.2 * lived.settledBytes, `${lived.largestBytes} beside ${lived.settledBytes}`);
    assert.deepEqual([lived.archives, lived.checked], [days - keepDays, lived.events]);
    assert.ok(lived.carried < lived.archives / 4, `${lived.carried} events that carry over`);
    if (!withLedger) return;
    const archives = listArchives(folder.file('archives')).map((file) => Ledger.open(file.path));
    for (const left of [0, 1, 19, archives.length]) {
      const files = [...archives.slice(archives.length - left), Ledger.open(folder.file('store.jsonl'))];
      const rebuilt = folder.file(`rebuilt-${left}.db`);
      await rebuildDatabase(files, rebuilt);
      assert.deepEqual(balancesIn(rebuilt), balancesIn(folder.file()), `from the ledger and ${left} archives`);
    }
  });
}
