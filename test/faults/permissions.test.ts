// Who may do what: planted files and links under the names that the store uses, other users, and Node's permission
// model.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { SqliteStore, StoreError } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { documentAt } from '../support/documents.ts';
import { modeOf, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { nobody, run } from '../support/process.ts';

const clock = (): Date => new Date('2026-11-21T12:00:00Z');
const stamp = '2026-11-21T12-00-00.000Z';
const state = { timestamp: new Date(0) };

function open(folder: TestFolder, options = {}): SqliteStore {
  return folder.open({ clock, ...options, ledger: Ledger.open(folder.file('audit.jsonl')) });
}

for (const suffix of [
  'store.db',
  'store.db-wal',
  'store.db-shm',
  'store.db-journal',
  'store.snapshot.json',
  'audit.jsonl',
]) {
  for (const [when, isThere] of [
    ['a new store', false],
    ['a store that is there', true],
  ] as const) {
    for (const [what, victim] of [
      ['a file', 'victim'],
      ['nothing', 'not-there'],
    ] as const) {
      test(`a link to ${what} under the name ${suffix} of ${when} leads nowhere: it is refused or replaced, and its `
        + `target stays as it is`, (t) => {
        const folder = new TestFolder(t, { checked: false });
        if (isThere) {
          const store = open(folder);
          store.saveSnapshot(state);
          store.close();
          rmSync(folder.file(suffix), { force: true });
        }
        const outside = new TestFolder(t);
        const target = outside.file(victim);
        if (victim === 'victim') writeFileSync(target, 'precious '.repeat(1_000));
        symlinkSync(target, folder.file(suffix));
        try {
          const store = open(folder);
          store.appendAudit({ type: 'service_started' });
          store.saveSnapshot(state);
          store.close();
        } catch (error) {
          assert.ok(error instanceof StoreError);
          assert.match(error.code, /^ERR_STORE_(PERMISSION|IO|CORRUPT|NOT_A_STORE|CONFLICT)$/);
        }
        if (victim === 'victim') assert.equal(readFileSync(target, 'utf8'), 'precious '.repeat(1_000));
        assert.deepEqual(namesIn(outside.path), victim === 'victim' ? ['victim'] : []);
      });
    }
  }
}

test('what stands under the names to which damaged files are moved is never overwritten, nor followed', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = open(folder);
  store.saveSnapshot(state);
  store.close();
  writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
  writeFileSync(folder.file('audit.jsonl'), '{"torn', { flag: 'a' });
  writeFileSync(folder.file(`store.db.damaged-${stamp}`), 'mine');
  symlinkSync('victim', folder.file(`store.db.damaged-${stamp}-1`));
  symlinkSync('victim', folder.file(`audit.jsonl.torn-${stamp}`));
  writeFileSync(folder.file('victim'), 'precious');
  const again = open(folder, { recover: true });
  assert.deepEqual(again.recovery?.moved, [folder.file(`store.db.damaged-${stamp}-2`)]);
  assert.equal(readFileSync(folder.file(`store.db.damaged-${stamp}`), 'utf8'), 'mine');
  assert.equal(readFileSync(folder.file(`audit.jsonl.torn-${stamp}-1`), 'utf8'), '{"torn');
  assert.equal(readFileSync(folder.file('victim'), 'utf8'), 'precious');
});

for (const umask of [0o000, 0o077, 0o777]) {
  test(`what recovery sets aside is private under the umask ${umask.toString(8).padStart(3, '0')}`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    const before = process.umask(umask);
    try {
      const store = open(folder);
      store.saveSnapshot(state);
      store.close();
      writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
      writeFileSync(folder.file('audit.jsonl'), '{"torn', { flag: 'a' });
      open(folder, { recover: true });
    } finally {
      process.umask(before);
    }
    const names = namesIn(folder.path);
    assert.ok(names.some((name) => name.includes('.damaged-')) && names.some((name) => name.includes('.torn-')));
    for (const name of names) assert.equal(modeOf(folder.file(name)), '600', name);
  });
}

for (const umask of [0o177, 0o277, 0o777]) {
  test(`a store that is read from a private copy is read under the umask ${umask.toString(8)}`, (t) => {
    const folder = new TestFolder(t);
    run(folder.file(), 'const store = SqliteStore.open(path); store.addUsage("a", "2026-11-21", 7); die();');
    rmSync(folder.file('store.db-shm'));
    for (const name of ['', ...namesIn(folder.path)])
      if (process.getuid?.() === 0) chownSync(folder.file(name), nobody, nobody);
    const before = picture(folder.path);
    assert.deepEqual(
      run(folder.file(), 'report(SqliteStore.openReadOnly(path).getUsage("a", "2026-11-21"));', { umask, uid: nobody }),
      [7],
    );
    assert.deepEqual(picture(folder.path), before);
  });
}

test('a folder that others may write to is a finding, also where it was made so by somebody else', (t) => {
  const folder = new TestFolder(t);
  const store = open(folder);
  assert.deepEqual(store.health().findings, []);
  chmodSync(folder.path, 0o777);
  assert.deepEqual(store.health().findings.map(({ kind }) => kind), ['folder-shared']);
  chmodSync(folder.path, 0o700);
  assert.deepEqual(store.health().findings, []);
});

test('another user reads what he is allowed to read, and writes nothing', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('a', '2026-11-21', 7);
  store.close();
  chmodSync(folder.path, 0o755);
  const code = 'report(codeOf(() => SqliteStore.openReadOnly(path).getUsage("a", "2026-11-21"))); report(codeOf(() '
    + '=> SqliteStore.open(path))); report(codeOf(() => SqliteStore.open(path, { recover: true }))); '
      + 'report(codeOf(() => SqliteStore.migrate(path, 1)));';
  assert.deepEqual(run(folder.file(), code, { uid: nobody }), Array(4).fill('ERR_STORE_PERMISSION'));
  chmodSync(folder.file(), 0o644);
  assert.deepEqual(run(folder.file(), code, { uid: nobody }), ['no error', ...Array(3).fill('ERR_STORE_PERMISSION')]);
  assert.deepEqual(namesIn(folder.path), ['store.db']);
});

test("under Node's permission model, with the flags that a document shows, a store is read, and refuses to be "
  + "written, for there is no fsync", (t) => {
  const folder = new TestFolder(t);
  const [, flags] = /^node (--permission.*) report\.mjs$/m.exec(documentAt('lib/reading/README.md').text) ?? [];
  assert.ok(flags);
  for (const name of ['kiosk', 'package']) mkdirSync(folder.file(name));
  for (const part of ['lib', 'schema.sql', 'package.json'])
    cpSync(new URL(`../../${part}`, import.meta.url), folder.file(`package/${part}`), { recursive: true });
  const store = SqliteStore.open(folder.file('kiosk/kiosk.db'));
  store.addUsage('a', '2026-11-21', 5);
  store.saveSnapshot(state);
  store.close();
  SqliteStore.open(folder.file('other.db')).close();
  const nodeOptions = flags
    .replaceAll('$PWD/node_modules', folder.file('package'))
    .replaceAll('$PWD/day', folder.file('kiosk'))
    .split(' ');
  const before = picture(folder.path);
  const found = run(
    folder.file('kiosk/kiosk.db'),
    `
    const store = SqliteStore.openReadOnly(path);
    report([store.getUsage('a', '2026-11-21'), store.isHealthy(), store.health().findings,
    store.loadSnapshot() !== undefined]);
    store.close();
    report([path, path + '.new'].map((each) => codeOf(() => SqliteStore.open(each))));
    report(codeOf(() => SqliteStore.migrate(path, 5)));
    report(codeOf(() => fs.fsyncSync(0)));
    const other = path.replace('kiosk/kiosk.db', 'other.db');
    report(codeOf(() => SqliteStore.openReadOnly(other)));
    // SQLite opens files by itself, below Node's checks.
    report(codeOf(() => new DatabaseSync(other, { readOnly: true }).close()));`,
    { nodeOptions, root: pathToFileURL(`${folder.file('package')}/`) },
  );
  assert.deepEqual(found, [
    [5, true, [], true],
    ['ERR_STORE_PERMISSION', 'ERR_STORE_PERMISSION'],
    'ERR_STORE_PERMISSION',
    'ERR_ACCESS_DENIED',
    'ERR_STORE_PERMISSION',
    'no error',
  ]);
  assert.deepEqual(picture(folder.path), before);
});
