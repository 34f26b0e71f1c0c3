// What is read on a private copy needs a temporary folder; what is wrong with that is not said of the store.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { ReadOnlyFile } from '../../lib/reading/reader.ts';
import { attempt } from '../../lib/values/errors.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { nobody, run } from '../support/process.ts';

/** A killed service's store whose -shm is gone: its -wal can only be read on a copy. */
function makeUnindexed(t: TestContext): TestFolder {
  const folder = new TestFolder(t);
  run(folder.file(), "SqliteStore.open(path).addUsage('a', '2026-11-21', 1); die();");
  rmSync(folder.file('store.db-shm'));
  return folder;
}

interface Refusal {
  code: string;
  message: string;
}

/** How reading the store is refused in a process with this temporary folder, after `prepare` there. */
function refusal(folder: TestFolder, temporary: string, prepare = '', settings = {}): Refusal {
  const [refused] = run(folder.file(), `
    process.env.TMPDIR = ${JSON.stringify(temporary)};
    ${prepare}
    try { SqliteStore.openReadOnly(path).close(); report('opened'); }
    catch ({ code, message, cause }) { report({ code, message, hasCause: cause !== undefined }); }`, settings);
  const { hasCause, ...rest } = refused as Refusal & { hasCause: boolean };
  assert.ok(hasCause);
  return rest;
}

const mounted = (options: string): string => `
  const { execFileSync } = await import('node:child_process');
  execFileSync('mount', ['-t', 'tmpfs', '-o', '${options}', 'none', process.env.TMPDIR]);`;

const temporaries: [what: string, code: string, make: (path: string) => void, prepare?: string, settings?: object][] = [
  ['that is not there', 'ERR_STORE_IO', () => {}],
  ['that is a file', 'ERR_STORE_IO', (path) => writeFileSync(path, '')],
  ['of somebody else', 'ERR_STORE_PERMISSION', (path) => mkdirSync(path, { mode: 0o555 }), '', { uid: nobody }],
  ['that is full', 'ERR_STORE_DISK_FULL', (path) => mkdirSync(path), mounted('size=16k'), { unshared: true }],
  ['that is read-only', 'ERR_STORE_READ_ONLY', (path) => mkdirSync(path), mounted('ro'), { unshared: true }],
];

for (const [what, expected, make, prepare, settings] of temporaries) {
  test(`a temporary folder ${what} is ${expected} with its name, and the store stays as it was`, (t) => {
    const folder = makeUnindexed(t);
    const temporary = folder.file('temporary');
    make(temporary);
    chmodSync(folder.path, 0o755);
    for (const name of ['store.db', 'store.db-wal']) chmodSync(folder.file(name), 0o644);
    const before = picture(folder.path);
    const { code, message } = refusal(folder, temporary, prepare, settings);
    assert.equal(code, expected);
    assert.ok(message.includes(temporary) && message.includes('TMPDIR'), message);
    assert.doesNotMatch(message, /written to/);
    assert.deepEqual(picture(folder.path), before);
  });
}

test('opening for writing names the temporary folder too, and not the room that the store itself needs', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  // A journal that was being written when the power went.
  run(folder.file(), `
    const db = new DatabaseSync(path);
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; CREATE TABLE x (y)');
    db.exec("INSERT INTO x SELECT zeroblob(9000) FROM (VALUES (1), (2), (3), (4))");
    die();`);
  mkdirSync(folder.file('temporary'));
  const [code, message] = run(folder.file(), `
    process.env.TMPDIR = path.replace('store.db', 'temporary');
    ${mounted('size=16k')}
    try { SqliteStore.open(path).close(); }
    catch ({ code, message }) { report(code); report(message); }`, { unshared: true }) as [string, string];
  assert.equal(code, 'ERR_STORE_DISK_FULL');
  assert.ok(message.includes(folder.file('temporary')), message);
  assert.doesNotMatch(message, /needs about/);
  folder.open().close(); // plays it back
});

test('only what belongs to the database is waited for when it is missing in the middle of a read', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const attempts = (missing: string): number => {
    const reader = folder.closing(new ReadOnlyFile(folder.file(), 0));
    let count = 0;
    const read = (): unknown => reader.read(() => (count++ === 0 ? readFileSync(missing) : 'read'));
    if (missing.startsWith(folder.file())) assert.equal(read(), 'read');
    else assert.throws(() => attempt('read', read), { code: 'ERR_STORE_NOT_FOUND' });
    return count;
  };
  for (const suffix of ['-wal', '-shm', '-journal']) assert.equal(attempts(folder.file(`store.db${suffix}`)), 2);
  for (const other of ['schema.sql', 'a.db-wal', 'a/store.db-wal']) assert.equal(attempts(folder.file(other)), 1);
});
