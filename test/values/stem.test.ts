// A database's name may be as long as SQLite's own suffix leaves it: whatever is made beside it fits, and is known
// again.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger, verifyParity } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { asideStem, pathBeside, stemOf, temporaryStem } from '../../lib/values/stem.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { run } from '../support/process.ts';

const state = { timestamp: new Date('2026-11-21T09:00:00Z') };
/** A name of so many bytes, as the journal's suffix leaves it. */
const ascii = (bytes: number): string => `${'n'.repeat(bytes - 3)}.db`;
const names: [what: string, name: string][] = [
  ...[203, 242, 247].map((bytes): [string, string] => [`of ${bytes} bytes`, ascii(bytes)]),
  ['of 246 bytes in characters of three', '日'.repeat(82)],
  ['of 247 bytes in characters of four', `${'🎮'.repeat(61)}.db`],
];

function temporaries(folder: TestFolder): string[] {
  return readdirSync(folder.path).filter((name) => name.endsWith('.tmp'));
}

for (const [what, name] of names) {
  test(`a store with a name ${what} works as any other`, async (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const path = folder.file(name);
    const store = SqliteStore.open(path);
    store.addUsage('a', '2026-11-21', 1_500);
    store.saveSnapshot(state);
    assert.ok(store.health().ok);
    const copy = await backup(store, folder.file(`copies/${name}`));
    store.close();
    assert.ok(copy.snapshotPath !== undefined && statSync(copy.snapshotPath).isFile());

    const restored = await restore(copy.path, path);
    assert.deepEqual([restored.replaced, restored.moved.length], ['same-store', 2]);
    rmSync(path);
    using missing = SqliteStore.open(path, { recover: true });
    assert.equal(missing.recovery?.found, 'missing');
    missing.close();
    writeFileSync(path, 'x'.repeat(8_192));
    assert.throws(() => SqliteStore.open(path), { code: 'ERR_STORE_CORRUPT' });
    using damaged = SqliteStore.open(path, { recover: true });
    assert.equal(damaged.recovery?.found, 'damaged');
    for (const moved of damaged.recovery.moved) assert.ok(statSync(moved).isFile());
    assert.deepEqual([damaged.getUsage('a', '2026-11-21'), damaged.loadSnapshot()], [1_500, state]);
    damaged.close();

    const ledgerPath = folder.file(`ledgers/${'l'.repeat(249)}.jsonl`);
    using mirrored = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
    mirrored.appendAudit({ type: 'service_started' });
    mirrored.close();
    mkdirSync(folder.file('rebuilt'));
    const { events } = await rebuildDatabase(Ledger.open(ledgerPath), folder.file(`rebuilt/${name}`));
    assert.equal(events, Ledger.open(ledgerPath).length);
    renameSync(ledgerPath, folder.file('ledger.jsonl'));
    using reader = SqliteStore.openReadOnly(path);
    await rebuildLedger(reader, ledgerPath);
    assert.ok((await verifyParity(reader, Ledger.open(ledgerPath))).isConsistent);
    // A torn end is set aside under a name that fits as well.
    writeFileSync(ledgerPath, readFileSync(ledgerPath, 'utf8').slice(0, -9) + 'noise');
    reader.close();
    using healed = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
    healed.close();
    assert.equal(readdirSync(folder.file('ledgers')).length, 2);
    assert.deepEqual(temporaries(folder), []);
    await checkStore(path);
  });
}

test('what a killed process left of a store with a long name is removed, and of no other', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const [path, other] = [folder.file(ascii(247)), folder.file(`m${ascii(247).slice(1)}`)];
  for (const file of [path, other]) {
    run(file, `
      const { syncBuiltinESMExports } = await import('node:module');
      const store = SqliteStore.open(path);
      store.saveSnapshot({ timestamp: new Date() });
      fs.renameSync = () => die();
      syncBuiltinESMExports();
      store.saveSnapshot({ timestamp: new Date() });`);
  }
  assert.equal(temporaries(folder).length, 2);
  SqliteStore.open(path).close();
  assert.equal(temporaries(folder).length, 1);
  SqliteStore.open(other).close();
  assert.deepEqual(temporaries(folder), []);
  await checkStore(path);
});

test('a name that fits stands for itself, and one that does not for no other', () => {
  for (const make of [asideStem, (path: string) => stemOf(path, 20), temporaryStem]) {
    assert.ok(make('/a/b.db').includes('b.db') && !make('/a/b.db').includes('~'));
    const long = [
      `/a/${ascii(250)}`,
      `/a/${ascii(249)}`,
      `/a/${'n'.repeat(250)}`,
      `/a/${'é'.repeat(120)}`,
      `/a/x${'é'.repeat(119)}`,
    ].map(make);
    assert.equal(new Set(long).size, long.length);
    for (const stem of long)
      assert.ok(stem.isWellFormed() && Buffer.byteLength(stem) <= 235 && !stem.includes('\ufffd'), stem);
  }
  assert.equal(Buffer.byteLength(pathBeside(ascii(255), '-recovery')), 255);
});

test('a name that is too long for SQLite itself is refused and leaves nothing', (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  for (const bytes of [252, 256, 300]) {
    assert.throws(
      () => SqliteStore.open(folder.file(ascii(bytes))),
      (error: { code: string }) => error.code.startsWith('ERR_STORE_'),
    );
    assert.deepEqual(readdirSync(folder.path), [], String(bytes));
  }
});
