// A handle that may write, and every PRAGMA and lock that a write relies on.
import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { hasCode, StoreError, toStoreError } from './errors.ts';
import { renewWal } from './files.ts';
import type { CheckedOptions } from './options.ts';
import { openHandle, releaseReaders } from './read-only.ts';
import { readPragma } from './schema.ts';
import { syncFolder } from './snapshot-file.ts';
import { DatabaseSync } from './sqlite.ts';

/** SQLite 3.7.0 to 3.51.2 can damage a WAL database that two connections use (https://www.sqlite.org/wal.html#walresetbug). */
export function checkVersion(): void {
  const db = new DatabaseSync(':memory:');
  const version = String(db.prepare('SELECT sqlite_version() AS version').get()?.['version']);
  db.close();
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major * 1e6 + minor * 1e3 + patch >= 3_051_003) return;
  throw new StoreError('ERR_STORE_UNSUPPORTED', `SQLite ${version} can damage a database that two processes use; 3.51.3 or later is needed (Node 24.15 and 26 bundle it)`);
}

/**
 * A handle that may write to a database that is there; it has read nothing yet. `check` throws where the file was exchanged
 * for another: SQLite finds a -wal by the path, and would take the other one's. `isKept`: the database is to be moved aside
 * with its -wal, damaged or not.
 */
export function openToWrite(path: string, { busyTimeoutMs: timeout }: CheckedOptions, check: () => void, isKept = false): DatabaseSync {
  releaseReaders();
  // With psow=0 SQLite takes a journal shorter than a sector for none, and deletes it. One that was written without it can
  // be as short while a database is made; it is played back by its own rules.
  if (lstatSync(`${path}-journal`, { throwIfNoEntry: false })?.isFile()) {
    using db = openHandle(path, { mode: 'rw' }, { timeout });
    db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
  }
  if (!isKept && lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.isFile()) secureWal(path, check);
  // psow=0: without it SQLite trusts the device not to touch bytes beside the ones it writes, and does not pad commits in
  // the WAL to whole sectors. SD cards program whole pages.
  return openHandle(path, writing, { timeout });
}

// mode=rw: SQLite would make a database that somebody has moved away meanwhile, with the umask's mode.
const writing = { psow: '0', mode: 'rw' };

/**
 * Brings a found -wal into the database, by way of a copy that is on the disk for certain. With exclusive locking nobody else
 * has the database open meanwhile; where somebody has, the -wal is in use and `checkpointFound` has to be enough.
 */
function secureWal(path: string, check: () => void): void {
  using db = openHandle(path, writing, { timeout: 0 });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
  } catch (error) {
    if (hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY')) return;
    throw error;
  }
  check();
  if (lstatSync(`${path}-wal`, { throwIfNoEntry: false })?.size) renewWal(path);
}

/**
 * A handle that locks every other process out of a damaged database until it is closed, and changes nothing: that somebody has
 * the database open is found before its first page is read. `ERR_STORE_BUSY` then.
 */
export function lockDamaged(path: string, { busyTimeoutMs: timeout }: CheckedOptions): DatabaseSync {
  releaseReaders();
  const db = openHandle(path, writing, { timeout });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE'); // with the -wal index in memory: no -shm is made
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    if (!hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY')) return db; // damaged, as expected
    db.close();
    throw new StoreError('ERR_STORE_BUSY', `${path} is damaged, and a process that has it open goes on with it: stop that first`, { cause: error });
  }
  return db;
}

/** Every PRAGMA that a write relies on, set and read back: SQLite ignores a value that it cannot honour. */
export function setPragmas(db: DatabaseSync): void {
  const pragmas: [name: string, value: number, answer?: number][] = [
    ['synchronous', 2], // FULL: fsync of the WAL at every commit; NORMAL loses the latest commits in a power cut
    ['foreign_keys', 1], // the modules' tables rely on them
    ['recursive_triggers', 1], // REPLACE deletes rows without firing their delete triggers otherwise
    ['wal_autocheckpoint', 0], // it would swallow its errors; lib/checkpoints.ts does it
    ['trusted_schema', 0],
    ['cell_size_check', 1],
  ];
  for (const [name, value] of pragmas) {
    db.exec(`PRAGMA ${name} = ${value}`);
    const answer = readPragma(db, name);
    if (answer !== value) throw new StoreError('ERR_STORE_DATABASE', `PRAGMA ${name} = ${value} was not accepted: SQLite answers ${answer}`);
  }
}

/**
 * After a failed fsync and a restart the page cache can hold frames of the WAL that were never written. SQLite would trust
 * them and chain new commits onto them, which a power cut then takes along. A checkpoint writes them into the database.
 */
export function checkpointFound(db: DatabaseSync, path: string): void {
  const wal = lstatSync(`${path}-wal`, { throwIfNoEntry: false });
  if (!wal || wal.size === 0) return;
  const { busy, log, checkpointed } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number; log: number; checkpointed: number };
  // Held up by a reader is fine as long as every frame has been written.
  if (busy !== 0 && log !== checkpointed) {
    throw new StoreError('ERR_STORE_BUSY', `failed to open ${path}: another process keeps reading it, so that its WAL cannot be secured first`);
  }
}

/** All or nothing, before there is a `Connection`. */
export function inTransaction<T>(db: DatabaseSync, fn: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = fn();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** WAL: a commit is one sequential write and one fsync. The mode is kept in the file; only a file system can refuse it. */
export function switchToWal(db: DatabaseSync, path: string, options: CheckedOptions): void {
  const deadline = Date.now() + options.busyTimeoutMs;
  for (;;) {
    try {
      const mode = readPragma(db, 'journal_mode = WAL');
      if (mode !== 'wal') throw new StoreError('ERR_STORE_IO', `failed to open ${path}: SQLite cannot use a WAL there (journal mode ${mode}); the file must be on a local disk`);
      break;
    } catch (error) {
      // Two processes that open a new file at once: the switch needs the file alone and does not wait for it.
      if (!hasCode(toStoreError(error, ''), 'ERR_STORE_BUSY') || Date.now() >= deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
  // The name of a new database, and the removal of the journal that made it: one that comes back would be played back.
  syncFolder(dirname(path));
}
