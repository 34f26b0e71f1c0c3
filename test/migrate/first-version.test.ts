// Files that the first version wrote (schema 4, with a snapshot file and a ledger): they open, heal and verify.
import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { TestFolder } from '../support/folder.ts';

const clock = (): Date => new Date('2026-11-21T17:00:00Z');
const head = { id: 14, hash: '7e87ac011ad99a3846f55a0c649f74a036df07872af139b4f48dc4845a17403d' };

/** A copy of the three files in a folder of its own. */
function unpack(t: TestContext): { folder: TestFolder; path: string; ledger: () => Ledger } {
  const folder = new TestFolder(t);
  for (const name of ['kiosk.db', 'kiosk.snapshot.json', 'audit.jsonl']) {
    copyFileSync(new URL(`../fixtures/first-version/${name}`, import.meta.url), folder.file(name));
  }
  return { folder, path: folder.file('kiosk.db'), ledger: () => Ledger.open(folder.file('audit.jsonl')) };
}

/** What was in the store must be there, in both files. */
async function checkContent(store: SqliteStore, ledger: Ledger, last: number): Promise<void> {
  assert.deepEqual(store.getUsageRange('minecraft', '2026-11-01', '2026-11-30'), [
    { day: '2026-11-19', durationMs: 3_600_250 }, { day: '2026-11-20', durationMs: 1_800_999 },
    { day: '2026-11-21', durationMs: 600_000 },
  ]);
  assert.equal(store.getUsage('tuxmath', '2026-11-20'), 90_500);
  assert.deepEqual(store.getCooldownUntil('tuxmath'), new Date('2030-01-01T00:00:00Z'));
  assert.equal(store.loadSnapshot()?.activeSession?.sessionId, 's9');
  assert.deepEqual(await store.verifyAudit({ anchor: head }), { ok: true, checked: last, findings: [], more: 0,
    head: store.auditHead() });
  assert.equal((await ledger.verify({ anchor: head })).ok, true);
  assert.equal((await verifyParity(store, ledger)).isConsistent, true);
}

test('a file of the first version is migrated when it opens, and everything in it is there', async (t) => {
  const { path, ledger } = unpack(t);
  assert.throws(() => SqliteStore.open(path, { clock }), { code: 'ERR_STORE_CONFLICT' });
  const own = ledger();
  using store = SqliteStore.open(path, { clock, ledger: own });
  assert.equal(store.recovery, undefined);
  assert.deepEqual(store.auditHead(), head);
  await checkContent(store, own, head.id);
  store.addUsage('minecraft', '2026-11-21', 1);
  assert.equal(store.getUsage('minecraft', '2026-11-21'), 600_001);
});

test('a lost database of the first version comes back from its ledger and its snapshot file', async (t) => {
  const { path, ledger } = unpack(t);
  rmSync(path);
  const own = ledger();
  using store = SqliteStore.open(path, { clock, ledger: own, recover: true });
  assert.equal(store.recovery?.found, 'missing');
  assert.deepEqual({ ...store.recovery?.restored }, { events: head.id, usage: 0, cooldowns: 0, snapshot: true });
  await checkContent(store, own, head.id + 1);
});

test('a database of the first version that has lost its newest rows gets them from its ledger', async (t) => {
  const { path, ledger } = unpack(t);
  {
    using db = new DatabaseSync(path);
    db.exec(`DROP TRIGGER audit_log_no_delete; DELETE FROM audit_log WHERE id > ${head.id - 2};
      UPDATE usage SET duration_secs = 0 WHERE day = '2026-11-21'; DELETE FROM usage WHERE day = '2026-11-21'`);
  }
  const own = ledger();
  using store = SqliteStore.open(path, { clock, ledger: own });
  assert.deepEqual(store.auditHead(), head);
  assert.equal((await store.verifyAudit({ anchor: head })).ok, true);
});

test('a database is made again from a ledger of the first version', async (t) => {
  const { folder, ledger } = unpack(t);
  const own = ledger();
  await rebuildDatabase(own, folder.file('again.db'));
  using store = SqliteStore.open(folder.file('again.db'), { clock, ledger: own });
  assert.deepEqual(store.auditHead(), head);
});
