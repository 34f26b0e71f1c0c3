// One key signs a log: a second one, and none, are conflicts, at open and for a store that was open before signing
// began.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, type LedgerOptions, rebuildDatabase } from '../../lib/ledger/index.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn, openBoth } from '../support/ledger.ts';

const [first, second] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
const signing = { signingKey: first.privateKey };
const day = '2026-11-21';

/** Opens the folder's store, with everything that a ledger takes. */
function open(folder: TestFolder, options: LedgerOptions = {}): SqliteStore {
  return folder.open({ ledger: ledgerIn(folder, options) });
}

/** How many of the events a key proves: all, or which it does not. */
async function findings(folder: TestFolder): Promise<string[]> {
  const { findings: found } = await ledgerIn(folder).verify({ publicKey: first.publicKey });
  return found.map(({ kind }) => kind);
}

test('a second key is a conflict, and so is none, unless that is said', async (t) => {
  const folder = new TestFolder(t);
  const store = open(folder, signing);
  store.addUsage('a', day, 5);
  store.close();
  const before = [readFileSync(folder.file('audit.jsonl')), picture(folder.path)];
  for (const recover of [false, true]) {
    for (const options of [{ signingKey: second.privateKey }, {}]) {
      assert.throws(() => folder.open({ recover, ledger: ledgerIn(folder, options) }), { code: 'ERR_STORE_CONFLICT' });
      // Nor is a new database begun from it.
      if (options.signingKey === undefined) {
        assert.throws(
          () => SqliteStore.open(folder.file('lost/store.db'), { recover: true, ledger: ledgerIn(folder, options) }),
          { code: 'ERR_STORE_CONFLICT' },
        );
      }
    }
  }
  assert.deepEqual([readFileSync(folder.file('audit.jsonl')), picture(folder.path)], before);
  const again = open(folder, signing);
  again.addUsage('a', day, 5);
  again.close();
  assert.deepEqual(await findings(folder), []);

  const unsigned = open(folder, { unsigned: true });
  unsigned.addUsage('a', day, 5);
  unsigned.close();
  assert.deepEqual(await findings(folder), ['missing-signature']);
  // The last line is not signed now, and the log has begun to sign all the same.
  assert.throws(() => open(folder), { code: 'ERR_STORE_CONFLICT' });
});

test('two processes that begin to sign at once with two keys: one is refused, and the other verifies', async (t) => {
  const folder = new TestFolder(t);
  openBoth(folder).close();
  const [a, b] = [signing, { signingKey: second.privateKey }].map((options) => ledgerIn(folder, options));
  const store = folder.open({ ledger: a! });
  assert.throws(() => folder.open({ ledger: b! }), { code: 'ERR_STORE_CONFLICT' });
  store.addUsage('a', day, 5);
  store.close();
  assert.deepEqual(await findings(folder), []);
});

test('a store open without a key when another process begins to sign writes no more, unless it said so', async (t) => {
  const folder = new TestFolder(t);
  const [plain, unsigned] = [openBoth(folder), open(folder, { unsigned: true })];
  plain.addUsage('a', day, 1);
  const signed = open(folder, signing);
  signed.addUsage('a', day, 1);
  assert.throws(() => plain.addUsage('a', day, 1), { code: 'ERR_STORE_CONFLICT' });
  assert.equal(plain.isHealthy(), false);
  assert.throws(() => plain.addUsage('a', day, 1), { code: 'ERR_STORE_CONFLICT' });
  signed.addUsage('a', day, 1);
  signed.close();
  assert.deepEqual(await findings(folder), []);
  unsigned.addUsage('a', day, 1);
  assert.deepEqual(await findings(folder), ['missing-signature']);
});

test('a database that is behind a ledger in which signing has begun since learns of it there', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.addUsage('a', day, 1);
  store.close();
  const older = readFileSync(folder.file());
  open(folder, signing).close();
  // A line that is not signed stands at the end: it is the event that tells.
  const unsigned = open(folder, { unsigned: true });
  unsigned.addUsage('a', day, 1);
  unsigned.close();
  writeFileSync(folder.file(), older);
  assert.throws(() => open(folder), { code: 'ERR_STORE_CONFLICT' });
  open(folder, signing).close();
});

test('a rebuilt database knows its key', async (t) => {
  const folder = new TestFolder(t);
  open(folder, signing).close();
  await rebuildDatabase(ledgerIn(folder), folder.file('again.db'));
  for (const options of [{}, { signingKey: second.privateKey }]) {
    assert.throws(() => SqliteStore.open(folder.file('again.db'), { ledger: ledgerIn(folder, options) }), {
      code: 'ERR_STORE_CONFLICT',
    });
  }
  SqliteStore.open(folder.file('again.db'), { ledger: ledgerIn(folder, signing) }).close();
});

test('unsigned is true or false, and contradicts a key', (t) => {
  const folder = new TestFolder(t);
  for (const options of [{ unsigned: 'yes' }, { unsigned: 1 }, { unsigned: null }, { unsigned: true, ...signing }]) {
    assert.throws(() => Ledger.open(folder.file('audit.jsonl'), options as LedgerOptions), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
      message: /^options\.unsigned /,
    });
  }
});
