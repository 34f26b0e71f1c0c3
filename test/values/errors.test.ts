import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore, StoreError } from '../../lib/index.ts';
import { attempt, hasCode, toStoreError } from '../../lib/values/errors.ts';
import { TestFolder } from '../support/folder.ts';

function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}

/** As node:sqlite throws it. */
const sqliteError = (errcode: number): Error =>
  Object.assign(new Error('what SQLite says'), { code: 'ERR_SQLITE_ERROR', errcode });
/** As the system throws it. */
const systemError = (code: string): Error =>
  Object.assign(new Error(`${code}: what the system says`), { code, syscall: 'write' });

test('what SQLite says becomes a code, by the primary part of its own', () => {
  for (const [errcode, code] of [
    [3, 'ERR_STORE_PERMISSION'],
    [5, 'ERR_STORE_BUSY'],
    [6, 'ERR_STORE_BUSY'],
    [8, 'ERR_STORE_READ_ONLY'],
    [10, 'ERR_STORE_IO'],
    [11, 'ERR_STORE_CORRUPT'],
    [13, 'ERR_STORE_DISK_FULL'],
    [14, 'ERR_STORE_IO'],
    [15, 'ERR_STORE_BUSY'],
    [18, 'ERR_STORE_INVALID_ARGUMENT'],
    [23, 'ERR_STORE_PERMISSION'],
    [26, 'ERR_STORE_NOT_A_STORE'],
    [1, 'ERR_STORE_DATABASE'],
    [19, 'ERR_STORE_DATABASE'],
    [21, 'ERR_STORE_DATABASE'],
    // Extended codes: BUSY_SNAPSHOT, READONLY_DBMOVED, IOERR_FSYNC, CORRUPT_INDEX, CANTOPEN_SYMLINK; a full disk at the
    // -shm.
    [5 | (2 << 8), 'ERR_STORE_BUSY'],
    [8 | (4 << 8), 'ERR_STORE_READ_ONLY'],
    [10 | (4 << 8), 'ERR_STORE_IO'],
    [11 | (3 << 8), 'ERR_STORE_CORRUPT'],
    [14 | (6 << 8), 'ERR_STORE_IO'],
    [10 | (19 << 8), 'ERR_STORE_DISK_FULL'],
  ] as const) {
    const cause = sqliteError(errcode);
    const error = toStoreError(cause, 'add usage for "a"');
    assert.ok(error instanceof StoreError && error.message.startsWith('failed to add usage for "a": '));
    assert.deepEqual([error.code, error.cause, error.name], [code, cause, 'StoreError'], String(errcode));
  }
});

test('what the system says becomes a code, and what it says of nothing known is an I/O error', () => {
  for (const [system, code] of [
    ['ENOSPC', 'ERR_STORE_DISK_FULL'],
    ['EACCES', 'ERR_STORE_PERMISSION'],
    ['EPERM', 'ERR_STORE_PERMISSION'],
    ['ELOOP', 'ERR_STORE_PERMISSION'],
    ['EROFS', 'ERR_STORE_READ_ONLY'],
    ['ENOENT', 'ERR_STORE_NOT_FOUND'],
    ['ENOTDIR', 'ERR_STORE_NOT_FOUND'],
    ['EIO', 'ERR_STORE_IO'],
    ['EDQUOT', 'ERR_STORE_IO'],
    ['EFBIG', 'ERR_STORE_IO'],
    ['EWHATEVER', 'ERR_STORE_IO'],
  ] as const) {
    const cause = systemError(system);
    const error = toStoreError(cause, 'save the snapshot');
    assert.ok(error instanceof StoreError);
    assert.deepEqual([error.code, error.cause], [code, cause], system);
  }
});

test('every other error, and what is no error, passes unchanged', () => {
  const others = [
    new Error('a'),
    new TypeError('a'),
    new RangeError('a'),
    new StoreError('ERR_STORE_BUSY', 'a'),
    Object.assign(new Error('a'), { code: 'ERR_INVALID_ARG_TYPE' }),
    Object.assign(new RangeError('a'), { code: 'ERR_OUT_OF_RANGE' }),
    'a',
    null,
    undefined,
    5,
    { code: 'ENOSPC', syscall: 'write' },
  ];
  for (const other of others) {
    assert.equal(toStoreError(other, 'do it'), other);
    if (other !== undefined) assert.equal(thrownBy(() => attempt('do it', () => { throw other; })), other);
  }
  assert.equal(attempt('do it', () => 5), 5);
  assert.equal(hasCode(new StoreError('ERR_STORE_BUSY', 'a'), 'ERR_STORE_BUSY'), true);
  assert.equal(hasCode(new StoreError('ERR_STORE_BUSY', 'a'), 'ERR_STORE_IO'), false);
  assert.equal(hasCode(systemError('ERR_STORE_BUSY'), 'ERR_STORE_BUSY'), false);
});

test('real errors of SQLite get their codes, with what was attempted and the origin', (t) => {
  const folder = new TestFolder(t, { checked: false });
  writeFileSync(folder.file('text.db'), 'no database, but a text that is longer than the header of one. '.repeat(20));
  const notADatabase = thrownBy(() => SqliteStore.openReadOnly(folder.file('text.db')));
  assert.ok(hasCode(notADatabase, 'ERR_STORE_NOT_A_STORE'));

  const store = folder.open();
  const db = folder.raw();
  db.exec("INSERT INTO usage VALUES ('a', '2026-11-21', 9007199254740992, 0)");
  const tooLarge = thrownBy(() => store.getUsage('a', '2026-11-21')) as Error;
  assert.ok(hasCode(tooLarge, 'ERR_STORE_CORRUPT') && /usage.*"a".*2026-11-21/.test(tooLarge.message));
  assert.ok(tooLarge.cause instanceof RangeError);
  db.exec(
    "INSERT INTO cooldowns (entry_id, until) VALUES ('only', 'this'); CREATE UNIQUE INDEX one ON cooldowns ((1))",
  );
  store.close();

  const again = folder.open();
  const refused = thrownBy(() => again.setCooldownUntil('a', new Date(0))) as Error;
  assert.ok(hasCode(refused, 'ERR_STORE_DATABASE') && refused.message.includes('cooldown of "a"'));
  assert.equal((refused.cause as { errcode?: number }).errcode, 2067);
  assert.equal(again.addUsage('b', '2026-11-21', 1), 1); // it goes on working
  assert.ok(again.isHealthy());
});

test('real errors of the system get their codes', (t) => {
  const folder = new TestFolder(t, { checked: false });
  assert.ok(hasCode(thrownBy(() => SqliteStore.openReadOnly(folder.file('none.db'))), 'ERR_STORE_NOT_FOUND'));
  writeFileSync(folder.file('file'), '');
  assert.ok(thrownBy(() => SqliteStore.open(folder.file('file/store.db'))) instanceof StoreError);
  mkdirSync(folder.file('folder.db'));
  assert.ok(hasCode(thrownBy(() => SqliteStore.open(folder.file('folder.db'))), 'ERR_STORE_NOT_A_STORE'));
  symlinkSync(folder.file(), folder.file('link.db'));
  assert.ok(hasCode(thrownBy(() => SqliteStore.open(folder.file('link.db'))), 'ERR_STORE_PERMISSION'));
  mkdirSync(folder.file('elsewhere'));
  const store = folder.open({ snapshotPath: folder.file('elsewhere/store.snapshot.json') });
  rmSync(folder.file('elsewhere'), { recursive: true });
  const lost = thrownBy(() => store.saveSnapshot({ timestamp: new Date(0) })) as Error;
  assert.ok(hasCode(lost, 'ERR_STORE_NOT_FOUND') && (lost.cause as NodeJS.ErrnoException).syscall !== undefined);
  assert.equal(store.loadSnapshot(), undefined); // rolled back
  assert.equal(store.addUsage('a', '2026-11-21', 1), 1);
});

test('of an error and of one that followed while it was cleaned up, the first one gives the code', () => {
  const both = new SuppressedError(systemError('EACCES'), systemError('ENOSPC'));
  assert.equal((toStoreError(both, 'do it') as StoreError).code, 'ERR_STORE_DISK_FULL');
  const twice = new SuppressedError(systemError('EACCES'), new SuppressedError(systemError('EIO'), sqliteError(13)));
  assert.equal((toStoreError(twice, 'do it') as StoreError).code, 'ERR_STORE_DISK_FULL');
  const callers = new SuppressedError(systemError('EACCES'), new RangeError("the caller's own"));
  assert.equal(toStoreError(callers, 'do it'), callers);
});
