// A ledger keeps its file open only while a store appends to it, and nothing that fails leaves it open.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { copyFileSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger, replay, verifyParity } from '../../lib/ledger/index.ts';
import { plainEnvironment } from '../support/child.ts';
import { openIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, ledgerIn, openBoth } from '../support/ledger.ts';

function filled(folder: TestFolder): void {
  const store = openBoth(folder);
  for (let count = 0; count < 5; count++) store.addUsage('a', '2026-11-21', 1);
  // More than a rebuild does between two looks at its signal.
  store.appendAudits(Array.from({ length: 1_100 }, () => ({ event: { type: 'service_started' } })));
  store.close();
}

test('a ledger that nothing appends to has nothing open between two calls, whatever it was asked', async (t) => {
  const folder = new TestFolder(t);
  filled(folder);
  const ledger = ledgerIn(folder);
  assert.equal(openIn(folder.path), 0);
  const calls: Record<string, () => unknown> = {
    'its properties': () => [ledger.head, ledger.store, ledger.length, ledger.publicKey],
    'an iteration to its end': () => [...ledger.iterate()],
    'an iteration that is broken off': () => {
      for (const line of ledger.iterate()) if (line.id === 2) break;
    },
    'verify': () => ledger.verify(),
    'a verify that is aborted': () =>
      ledger.verify({ signal: AbortSignal.abort(), onProgress: () => undefined }).catch(() => undefined),
    'close': () => [ledger.close(), ledger.close(), ledger.length],
    'another one that is disposed of': () => {
      using other = ledgerIn(folder);
      assert.equal(other.length, 1_106);
    },
    'one that is refused': () => assert.throws(() => Ledger.open(folder.file()), { code: 'ERR_STORE_NOT_A_STORE' }),
    'a folder': () => assert.throws(() => Ledger.open(folder.path), { code: 'ERR_STORE_NOT_A_STORE' }),
    'a rebuild of the database': () => rebuildDatabase(ledger, folder.file('again.db')),
    'one that is aborted': () =>
      rebuildDatabase(ledger, folder.file('other.db'), {
        onProgress: () => {
          throw new Error('enough');
        },
      }).catch(() => undefined),
  };
  for (const [what, call] of Object.entries(calls)) {
    await call();
    assert.equal(openIn(folder.path), 0, what);
  }
  const before = openIn(folder.path);
  using store = SqliteStore.openReadOnly(folder.file());
  const withStore = openIn(folder.path) - before;
  const beside: Record<string, () => unknown> = {
    'a comparison': () => verifyParity(store, ledgerIn(folder)),
    'one that is aborted': () =>
      verifyParity(store, ledgerIn(folder), { signal: AbortSignal.abort() }).catch(() => undefined),
    'a rebuild of the ledger': () => rebuildLedger(store, folder.file('again.jsonl')),
    'one that is refused': () => rebuildLedger(store, folder.file('again.jsonl')).catch(() => undefined),
  };
  for (const [what, call] of Object.entries(beside)) {
    await call();
    assert.equal(openIn(folder.path) - before, withStore, what);
  }
});

test('a store keeps its ledger open until it is closed, each of several stores its own', async (t) => {
  const folder = new TestFolder(t);
  filled(folder);
  const ledger = ledgerIn(folder);
  const stores = [0, 1].map(() => SqliteStore.open(folder.file(), { ledger }));
  ledger.close(); // they go on
  for (const store of stores) store.addUsage('a', '2026-11-21', 1);
  await replay(stores[0]!, ledger);
  stores[0]!.close();
  stores[1]!.addUsage('a', '2026-11-21', 1);
  stores[1]!.close();
  assert.equal(openIn(folder.path), 0);
  const detached = SqliteStore.open(folder.file(), { ledger });
  detached.detachLedger();
  detached.close();
  assert.equal(openIn(folder.path), 0);
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

test('a store opened with a ledger in use writes to the file that stands there now, and the other stops', (t) => {
  const folder = new TestFolder(t);
  filled(folder);
  const ledger = ledgerIn(folder);
  const before = SqliteStore.open(folder.file(), { ledger });
  renameSync(folder.file('audit.jsonl'), folder.file('before.jsonl'));
  copyFileSync(folder.file('before.jsonl'), folder.file('audit.jsonl')); // as a restored backup of it would be
  const after = SqliteStore.open(folder.file(), { ledger });
  assert.throws(() => before.addUsage('a', '2026-11-21', 1), { code: 'ERR_STORE_IO' });
  after.addUsage('a', '2026-11-21', 1);
  before.close();
  after.close();
  assert.equal(openIn(folder.path), 0);
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

test('a store that is refused leaves nothing of its ledger open', (t) => {
  const [folder, other, signed, damaged] = [new TestFolder(t), new TestFolder(t), new TestFolder(t), new TestFolder(t)];
  for (const each of [folder, other, damaged]) filled(each);
  openBoth(signed, { signingKey: generateKeyPairSync('ed25519').privateKey }).close();
  const bytes = readFileSync(damaged.file('audit.jsonl'));
  bytes.write('U', bytes.indexOf('usage_added'));
  writeFileSync(damaged.file('audit.jsonl'), bytes.subarray(0, 60_000)); // within what an open reads of it
  const refused: [string, () => unknown][] = [
    ['ERR_STORE_CONFLICT', () => SqliteStore.open(folder.file(), { ledger: ledgerIn(other) })],
    ['ERR_STORE_CORRUPT', () => SqliteStore.open(folder.file('missing.db'), { ledger: ledgerIn(folder) })],
    [
      'ERR_STORE_CONFLICT',
      () =>
        SqliteStore.open(signed.file(), {
          ledger: ledgerIn(signed, { signingKey: generateKeyPairSync('ed25519').privateKey }),
        }),
    ],
    ['ERR_STORE_PARITY', () => SqliteStore.open(damaged.file(), { ledger: ledgerIn(damaged) })],
    [
      'ERR_STORE_INVALID_ARGUMENT',
      () =>
        SqliteStore.open(folder.file('other.db'), {
          ledger: ledgerIn(folder),
          snapshotPath: folder.file('audit.jsonl'),
        }),
    ],
  ];
  for (const [code, open] of refused) {
    assert.throws(open, { code });
    for (const each of [folder, other, signed, damaged]) assert.equal(openIn(each.path), 0, code);
  }
});

test('a ledger is not looked for in a database that is open, by whatever name: its locks would be dropped', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('a', '2026-11-21', 1);
  symlinkSync('.', folder.file('link'));
  for (const name of ['store.db', 'link/store.db'])
    assert.throws(() => Ledger.open(folder.file(name)), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  const other = `const db = new (require('node:sqlite').DatabaseSync)(process.argv[1], { timeout: 0 });
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', other, folder.file()], {
    encoding: 'utf8',
    env: plainEnvironment(),
  });
  assert.equal(status, 1);
  assert.match(stderr, /database is locked/);
});
